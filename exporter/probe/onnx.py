"""Runs an ONNX model with ONNX Runtime, as its users do, and records the results."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from exporter.artifact import onnx_file
from exporter.artifact.onnx import IR_VERSION, OPSET
from exporter.errors import ArtifactError, reason
from exporter.models.formats import ONNX_FILE
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.probe import poolings
from exporter.probe.observations import ProbedFile
from exporter.probe.poolings import Pooling
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say

_CROPS_OR_SCALES = ("Slice", "Mul", "Div")
_POOLS: dict[str, Literal["average", "max"]] = {"AveragePool": "average", "MaxPool": "max"}


def session(model: Path | bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on the processor that leaves cores to others while it waits.

    Args:
        threads: how many it computes with; 0 for one for each core.

    Raises:
        Exception: those of ONNX Runtime, which are of several classes, where the model is not sound.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # what it would warn of is told by checks
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def probe(
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: Mapping[Path, str | None],
    say: Say,
    scratch: Path,
) -> ProbedFile:
    """Loads and runs an ONNX model; arguments are those of `exporter.probe.saved_model.probe`.

    Raises:
        ArtifactError: it is damaged, or ONNX Runtime does not run it with images of this size.
    """
    model = onnx_file.read(path)
    variables = onnx_file.variables(model)
    digests = onnx_file.digests(variables)
    found.variables(list(digests), list(digests.values()))
    found.unread(onnx_file.unread(model))
    found.properties(onnx_file.properties(model))
    found.interface(_interface(model))
    problems = tuple(_problems(model))
    say("running the artifact")
    try:
        outputs = _run(session(path / ONNX_FILE), model, images)
        main = next((name for name in SERVING_OUTPUTS.values() if name in outputs), model.graph.output[0].name)
        found.output(outputs[main])
        found.single_output(_run(session(path / ONNX_FILE), model, images[:1])[main])
        say("running the artifact for its end points")
        tensors = onnx_file.end_points(model)
        if tensors:
            found.end_points(_channels_last(_shown(model, tensors, images)))
        else:
            found.concatenations(_shown(model, _concatenations(model), images).values())
            found.poolings(poolings.differences(_poolings(model, images[:1])))
    except ArtifactError:
        raise
    except Exception as error:  # ONNX Runtime's have no class in common
        raise ArtifactError(f"{path} cannot be run by ONNX Runtime: {reason(error)}") from error
    return ProbedFile(problems, None)


def _run(loaded: onnxruntime.InferenceSession, model: onnx.ModelProto, images: np.ndarray) -> dict[str, np.ndarray]:
    names = list(onnx_file.inputs(model))
    if len(names) != 1:
        raise ArtifactError(f"it has the inputs {', '.join(names) or 'none'}, expected one: {SERVING_INPUT}")
    outputs = [output.name for output in loaded.get_outputs()]
    return dict(zip(outputs, loaded.run(outputs, {names[0]: images}), strict=True))


def _shown(model: onnx.ModelProto, tensors: Mapping[str, str], images: np.ndarray) -> dict[str, np.ndarray]:
    """The values of tensors of the graph by a name for each: they become its outputs, as copies would take memory."""
    if not tensors:
        return {}
    types = {output.name: output.type for output in model.graph.output}
    floats = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    del model.graph.output[:]
    for tensor in dict.fromkeys(tensors.values()):
        model.graph.output.add(name=tensor).type.CopyFrom(types.get(tensor, floats))
    values = _run(session(model.SerializeToString()), model, images)
    return {name: values[tensor] for name, tensor in tensors.items()}


def _concatenations(model: onnx.ModelProto) -> dict[str, str]:
    """The outputs of all nodes that concatenate feature maps."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type for value in (*inferred.value_info, *inferred.output)}
    outputs = [name for node in model.graph.node if node.op_type == "Concat" for name in node.output]
    kinds = {name: (types[name].elem_type, len(types[name].shape.dim)) for name in outputs if name in types}
    return {name: name for name in outputs if kinds.get(name) == (onnx.TensorProto.FLOAT, 4)}


def _poolings(model: onnx.ModelProto, images: np.ndarray) -> Iterator[Pooling]:
    """Its poolings, with what they pool and give; of windows as high as wide, not dilated."""
    producers = {name: node for node in model.graph.node for name in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    tensors: dict[str, str] = {}
    known = []
    for node in model.graph.node:
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        kernel, strides = given.get("kernel_shape", [0]), given.get("strides", [1, 1])
        if node.op_type in _POOLS and len({*kernel}) == len({*strides}) == 1 and {*given.get("dilations", [1])} == {1}:
            image, pooled = node.input[0], [node.output[0]]
            if image in producers and producers[image].op_type == "Pad":
                image = producers[image].input[0]
            while len(after := consumers.get(pooled[-1], [])) == 1 and after[0].op_type in _CROPS_OR_SCALES:
                pooled.append(after[0].output[0])
            tensors |= {name: name for name in (image, *pooled)}
            known.append((node.name or node.output[0], _POOLS[node.op_type], kernel[0], strides[0], image, pooled))
    values = _channels_last(_shown(model, tensors, images))
    for name, kind, size, stride, image, pooled in known:
        yield Pooling(name, kind, size, stride, values[image], [values[each] for each in pooled])


def _channels_last(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Feature maps as [batch, height, width, channels]."""
    return {name: value.transpose(0, 2, 3, 1) if value.ndim == 4 else value for name, value in values.items()}


def _interface(model: onnx.ModelProto) -> list[str]:
    """Inputs and outputs, each in a line: ``input inputs float32 [?, 224, 224, 3]``."""
    sides = {
        "input": onnx_file.inputs(model),
        "output": {output.name: onnx_file.tensor_facts(output) for output in model.graph.output},
    }
    return [f"{side} {name} {facts}" for side, named in sides.items() for name, facts in named.items()]


def _problems(model: onnx.ModelProto) -> list[str]:
    """What keeps runtimes from reading the model that know no more than it was promised to need."""
    problems = []
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problems.append(reason(error))
    if model.ir_version > IR_VERSION:
        problems.append(f"IR version {model.ir_version}, expected at most {IR_VERSION}")
    for each in model.opset_import:
        if each.domain not in ("", "ai.onnx") or each.version > OPSET:
            problems.append(f"operators of {each.domain or 'ai.onnx'} {each.version}, expected those of opset {OPSET}")
    return problems
