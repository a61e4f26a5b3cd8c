"""Turns TF1 Hub modules into such as others wrote: other names, and whatever else is asked for."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.support import bundles

v1 = tf.compat.v1
_ATTACHMENTS = "hub_module_attachments"


def as_hub_wrote_it(artifact: Path, copy: Path) -> Path:
    """A copy without ``nasexport.json`` in which all is named below ``module/``, as `hub.Module.export` names it."""
    shutil.copytree(artifact, copy)
    (copy / "nasexport.json").unlink()
    with_variables(copy, lambda values: {f"module/{name}": value for name, value in values.items()})
    saved_model = _read(copy)
    for meta_graph in saved_model.meta_graphs:
        with tf.Graph().as_default() as graph:
            v1.train.import_meta_graph(meta_graph, import_scope="module", clear_devices=True)
            renamed = v1.train.export_meta_graph(graph=graph)
        # It takes attached messages for names, too.
        renamed.collection_def[_ATTACHMENTS].CopyFrom(meta_graph.collection_def[_ATTACHMENTS])
        renamed.meta_info_def.tags.extend(meta_graph.meta_info_def.tags)
        for name, signature in meta_graph.signature_def.items():
            own = renamed.signature_def[name]
            own.CopyFrom(signature)
            for tensor in (*own.inputs.values(), *own.outputs.values()):
                tensor.name = f"module/{tensor.name}"
        meta_graph.CopyFrom(renamed)
    _write(copy, saved_model)
    return copy


def with_variables(artifact: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Changes the variables of a TF1 Hub module, by name, in place."""
    prefix = artifact / "variables" / "variables"
    values = change(bundles.read(prefix))
    for file in prefix.parent.iterdir():
        file.unlink()
    bundles.write(prefix, values)


def with_signatures(artifact: Path, change: Callable[[Any], None]) -> None:
    """Changes the ``signature_def`` of each MetaGraph, in place."""
    saved_model = _read(artifact)
    for meta_graph in saved_model.meta_graphs:
        change(meta_graph.signature_def)
    _write(artifact, saved_model)


def _read(artifact: Path) -> Any:
    return saved_model_pb2.SavedModel.FromString((artifact / "saved_model.pb").read_bytes())


def _write(artifact: Path, saved_model: Any) -> None:
    (artifact / "saved_model.pb").write_bytes(saved_model.SerializeToString(deterministic=True))
