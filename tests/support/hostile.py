"""Artifacts that write a file where they are loaded or run, as anyone could make them."""

import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.support import bundles

v1 = tf.compat.v1


def initialized_by_writing(folder: Path, written: Path) -> Path:
    """A classifier of TensorFlow 1 of 1001 classes that writes a file when it is loaded."""
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
        weights = v1.get_variable("weights", [3, 1001], use_resource=True)
        session.run(v1.global_variables_initializer())
        scores = tf.matmul(tf.reduce_mean(images, [1, 2]), weights)
        write = tf.raw_ops.WriteFile(filename=str(written), contents="it ran", name="init/write")
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"images": images}, {"scores": scores})
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=write)
        builder.save()
    return folder


def writing_where_it_runs(artifact: Path, copy: Path, written: Path) -> Path:
    """A copy of an artifact in which each of its functions, or its graphs, also writes a file.

    Whoever wants one of its outputs runs that, too.
    """
    shutil.copytree(artifact, copy)
    with bundles.edited(copy) as saved_model:
        for meta_graph in saved_model.meta_graphs:
            functions = meta_graph.graph_def.library.function
            for function in functions:
                _add_writing(function.node_def, written, in_function=True)
                function.control_ret["write"] = "write"
                function.signature.control_output.append("write")
            if not functions:
                _add_writing(meta_graph.graph_def.node, written, in_function=False)
                for node in meta_graph.graph_def.node:
                    if node.op == "Relu":
                        node.input.append("^write")
    (copy / "fingerprint.pb").unlink(missing_ok=True)
    return copy


def _add_writing(nodes: Any, written: Path, in_function: bool) -> None:
    inputs = []
    for name, value in {"write/filename": str(written), "write/contents": "it ran"}.items():
        constant = nodes.add(name=name, op="Const")
        constant.attr["dtype"].type = tf.string.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        inputs.append(f"{name}:output:0" if in_function else name)
    nodes.add(name="write", op="WriteFile", input=inputs)
