"""Artifacts that are wrong on purpose, in one way each, and the check of ``nasexport verify`` that must say so.

`BREAKS` is the table, which ``python -m tests.support.breaks`` prints as the documentation has it.
``python -m tests.support.breaks GOOD CHECKPOINT OUTPUT NUMBER...`` writes those of `ARTIFACTS`: the exporter's own
writers run with a part of them replaced, or the values of a good artifact are changed. Each gets the ``nasexport.json``
of the good artifact, whose format, version and task are set to its own.
"""

import contextlib
import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import onnx
import tensorflow as tf

from exporter.artifact import hub_module, saved_model
from exporter.artifact.export import writer
from exporter.artifact.metadata import read_metadata, write_metadata
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint import names, reader
from exporter.graph import batch_norm
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import DEFAULT_MOMENTUM, KERAS_FILE, ONNX_FILE, SAVED_MODEL_2, Version
from exporter.models.variables import variables
from tests.support import bundles, faults, keras_breaks, keras_faults, litert_breaks, onnx_breaks
from tests.support.broken import Break
from tests.support.faults import Held, Patch

#: Both kinds of cells and every kind of layer, in as few operations as can be. A large part of a cell is dropped in
#: training, so that what is wrong there shows.
CONFIG = {
    "name": "broken_nasnet",
    "family": "nasnet",
    "title": "NASNet-A (to be broken)",
    "image_size": 32,
    "num_classes": 11,
    "num_cells": 2,
    "num_conv_filters": 8,
    "stem_filters": 8,
    "reductions": [],
    "skip_reduction_layer_input": True,
    "drop_path_keep_prob": 0.7,
    "dropout_keep_prob": 0.5,
    "weight_decay": 5.0e-5,
    "versions": {3: "hub", 4: "saved_model_2", 5: "saved_model_2"},
    "formats": ["onnx", "keras", "litert"],
}


_VALUES = "variables with other values"
_DECISIONS = "random decisions that differ"
_END_POINTS = "end points, relative difference"
_OUTPUT = "output, relative difference"
_MOMENTUM = "moving averages at momentum 0.75, relative difference"
_SHARES = "shares kept, distance in standard errors"
_DEFAULT = "moving averages at default momentum 0.99, relative difference"
_IN_INFERENCE = "random numbers drawn in inference"
_REPLICAS = "variables that replicas share in another way"
#: As `tensorflow/core/framework/variable.proto` numbers them.
_ON_READ, _SUM = 3, 1
_SHARED = "random decisions of another shape"
_REPEATED = "random numbers that repeat"
_L2 = "regularization losses, relative difference"
_UNDER_L2 = "variables under L2 that differ"
_GRADIENTS = "gradients that reach the wrong variables"
_STOPS = "operations that stop gradients"
_STORED = "values stored that no variable has"
_SIGNATURES = "signatures that differ"
_TRAINING = "output in training mode, relative difference"
_SERVING: tuple[Task, Version] = ("classification", 5)
_WITHOUT_SERVING = dataclasses.replace(SAVED_MODEL_2, versions=SAVED_MODEL_2.versions[:1])
_FEATURES: tuple[Task, Version] = ("feature_vector", 4)
_CELL = "cell_0/comb_iter_0/left"
_SEPARABLE = f"{_CELL}/separable_5x5_1"
_GRAPH = ("inference", "training")


def _value(what: str, name: str, begins: str, change: Callable[[Held], None], also: tuple[str, ...] = ()) -> Break:
    return Break(what, _VALUES, name, begins, ("inference", "training", "L2", *also), values=change)


def _kernel(layer: str, name: str, begins: str) -> Break:
    return _value(f"a kernel times 1.001: {layer}", name, begins, faults.scaled(name))


def _graph(what: str, begins: str, patch: Patch, **fields: Any) -> Break:
    return Break(what, _END_POINTS, "", begins, ("inference",), patch=faults.inference(patch), **fields)


def _hub(wrong: Break) -> Break:
    return dataclasses.replace(wrong, artifact=("classification", 3))


_OF_TENSORFLOW: tuple[Break, ...] = (
    # Values.
    _kernel("first convolution", "conv0/weights", "Stem"),
    _kernel("depthwise", f"{_SEPARABLE}/depthwise_weights", "Cell_0"),
    _kernel("pointwise", f"{_SEPARABLE}/pointwise_weights", "Cell_0"),
    _kernel("1x1 at a cell's beginning", "cell_1/1x1/weights", "Cell_1"),
    _kernel("1x1 of the previous state", "cell_1/prev_1x1/weights", "Cell_1"),
    _kernel("path of a factorized reduction", "cell_0/path2_conv/weights", "Cell_0"),
    _kernel("fully connected", "final_layer/FC/weights", "Logits"),
    _value(
        "two kernels of the same shape swapped",
        "cell_0/comb_iter_0/left/separable_5x5_1/pointwise_weights",
        "Cell_0",
        faults.swapped(f"{_SEPARABLE}/pointwise_weights", f"{_CELL}/separable_5x5_2/pointwise_weights"),
    ),
    _value(
        "moving mean and variance swapped",
        "cell_1/beginning_bn/moving_mean",
        "Cell_1",
        faults.swapped("cell_1/beginning_bn/moving_mean", "cell_1/beginning_bn/moving_variance"),
    ),
    _value("a gamma times 1.001", "cell_0/final_path_bn/gamma", "Cell_0", faults.scaled("cell_0/final_path_bn/gamma")),
    Break(
        "plain weights in the place of their averages",
        _VALUES,
        "conv0/weights",
        "Stem",
        (*_GRAPH, "L2"),
        averages=False,
    ),
    # Inference.
    _graph("epsilon 1e-5", "Stem", faults.replace(batch_norm, "EPSILON", 1e-5)),
    _graph("images taken as they are, in [0, 1]", "Stem", faults.images(lambda net: (net + 1) / 2)),
    _graph("images expected in [0, 255]", "Stem", faults.images(lambda net: (net + 1) / 255 - 1)),
    _graph("RGB read as BGR", "Stem", faults.images(lambda net: net[..., ::-1])),
    _graph(
        "symmetric padding where a layer strides",
        "Stem",
        faults.operations_with(separable_convolution=faults.symmetric_padding),
    ),
    _graph("factorized reduction shifted to the other side", "Cell_0", faults.shifted_reduction("cell_0")),
    _graph("average pooling that counts the padding", "Cell_1", faults.pooling("cell_1", faults.counting_padding)),
    _graph("maximum in the place of average pooling", "Cell_0", faults.pooling("cell_0", faults.maximum)),
    _graph(
        "states of a cell concatenated in another order",
        "Cell_1",
        faults.changed_cell("cell_1", lambda states: states[::-1]),
        artifact=_SERVING,
    ),
    _graph(
        "no ReLU before the global pooling",
        "global_pool",
        faults.operations_with(relu=faults.relu_in_cells),
        artifact=_SERVING,
    ),
    Break(
        "logits shifted by one class",
        _OUTPUT,
        also=("inference",),
        patch=faults.inference(faults.changed_logits(lambda net: tf.roll(net, 1, 1))),
    ),
    Break(
        "batch statistics in inference",
        "variables changed by inference",
        begins="Stem",
        also=(*_GRAPH, "values"),
        patch=faults.batch_statistics(),
    ),
    # Moving averages.
    Break(
        "momentum ignored",
        _MOMENTUM,
        also=("training",),
        patch=faults.changed_decay(lambda _: DEFAULT_MOMENTUM),
        along="epsilon 1e-5",
    ),
    Break(
        "moving averages frozen",
        "variables changed by training",
        "first wrong: cell_0/",
        also=("training",),
        patch=faults.changed_decay(lambda m: 0 * m + 1),
        along="dropout in inference",
    ),
    Break(
        "biased variance in the moving average",
        _MOMENTUM,
        "/moving_variance",
        patch=faults.biased_variance(),
        also=("training",),
        along="images taken as they are, in [0, 1]",
    ),
    Break("default momentum 0.9", _DEFAULT, momentum=0.9, along="RGB read as BGR"),
    Break(
        "a moving average that each replica keeps to itself",
        _REPLICAS,
        "cell_0/final_path_bn/moving_mean",
        patch=faults.shared_otherwise("cell_0/final_path_bn/moving_mean", 0, 0),
        along="images expected in [0, 255]",
    ),
    Break(
        "a moving average that is the sum of those of all replicas",
        _REPLICAS,
        "cell_1/beginning_bn/moving_variance",
        patch=faults.shared_otherwise("cell_1/beginning_bn/moving_variance", _ON_READ, _SUM),
        along="no ReLU before the global pooling",
        artifact=_SERVING,
    ),
    # Drop path and dropout.
    Break(
        "drop path on identities",
        _DECISIONS,
        "comb_iter_",
        also=("training",),
        artifact=_FEATURES,
        patch=faults.drop_path_on_identities(),
    ),
    Break(
        "drop path in inference",
        _IN_INFERENCE,
        also=("inference",),
        patch=faults.operations_with(drop_path=faults.drop_path_always),
        along="drop path on identities",
        artifact=_FEATURES,
        begins="Stem",
    ),
    Break(
        "drop path of the whole batch",
        _SHARED,
        "cell_stem_0/comb_iter_0/left",
        patch=faults.operations_with(drop=faults.whole_batch),
        along="epsilon 1e-5",
    ),
    Break(
        "drop path that does not rescale",
        _TRAINING,
        also=("training",),
        patch=faults.operations_with(drop=faults.not_rescaled),
        along="symmetric padding where a layer strides",
    ),
    Break(
        "drop path's schedule one cell early",
        _SHARES,
        also=("training",),
        artifact=_SERVING,
        patch=faults.early_schedule(),
        along="states of a cell concatenated in another order",
    ),
    Break(
        "drop path that drops what it should keep",
        _SHARES,
        also=("training",),
        artifact=_SERVING,
        patch=faults.operations_with(drop=faults.drops_what_it_keeps),
        along="no ReLU before the global pooling",
    ),
    Break(
        "the same seed for every decision",
        _REPEATED,
        patch=faults.operations_with(drop=faults.seeded),
        along="images taken as they are, in [0, 1]",
    ),
    Break(
        "the same decisions in every call",
        _REPEATED,
        patch=faults.operations_with(drop=faults.stateless),
        along="images expected in [0, 255]",
    ),
    Break(
        "no dropout",
        _DECISIONS,
        "dropout",
        patch=faults.operations_with(drop=faults.no_dropout),
        also=("training",),
        along="maximum in the place of average pooling",
    ),
    Break(
        "dropout in inference",
        _IN_INFERENCE,
        also=("inference",),
        patch=faults.operations_with(drop=faults.dropout_always),
        begins="Logits",
    ),
    Break(
        "dropout of whole examples",
        _SHARED,
        "dropout",
        patch=faults.operations_with(drop=faults.whole_examples),
        along="factorized reduction shifted to the other side",
    ),
    # Gradients and the loss.
    Break(
        "no L2",
        _L2,
        patch=faults.regularization(0.0),
        also=("L2",),
        along="no ReLU before the global pooling",
        artifact=_SERVING,
    ),
    Break(
        "L2 with twice the weight",
        _L2,
        patch=faults.regularization(2.0),
        also=("L2",),
        along="maximum in the place of average pooling",
    ),
    Break(
        "L2 of the classifier's biases",
        _UNDER_L2,
        "final_layer/FC/biases",
        also=("L2",),
        patch=faults.changed_kernels(lambda name, right: right or name.endswith("FC/biases")),
        along="RGB read as BGR",
    ),
    Break(
        "L2 of all kernels but one",
        _UNDER_L2,
        f"{_SEPARABLE}/depthwise_weights",
        also=("L2",),
        patch=faults.changed_kernels(lambda name, right: right and name != f"{_SEPARABLE}/depthwise_weights"),
        along="symmetric padding where a layer strides",
    ),
    Break(
        "a variable that is not listed as trainable",
        "trainable variables that differ",
        "cell_1/1x1/weights",
        patch=faults.unlisted("cell_1/1x1/weights"),
        also=("training", "variables changed by training"),
        along="factorized reduction shifted to the other side",
    ),
    Break(
        "a variable that is listed as trainable, but is not",
        _GRADIENTS,
        "cell_1/1x1/weights",
        patch=faults.frozen("cell_1/1x1/weights"),
        along="average pooling that counts the padding",
    ),
    Break(
        "a gradient stopped before the previous state",
        _GRADIENTS,
        "cell_0/final_path_bn/beta",
        patch=faults.stopped_previous("cell_0"),
        also=("gradients",),
        along="states of a cell concatenated in another order",
        artifact=_SERVING,
    ),
    Break(
        "a gradient stopped at an identity",
        _STOPS,
        patch=faults.stopped_identity("cell_1"),
        along="logits shifted by one class",
    ),
    # What a file holds.
    Break(
        "a feature vector with the classifier's variables",
        "variables named differently",
        "final_layer/FC/",
        also=("L2", "gradients", "trainable variables that differ", "values"),
        artifact=_FEATURES,
        patch=faults.replace(saved_model, "variables", lambda config, task: variables(config, "classification")),
    ),
    Break(
        "a feature vector that hides the classifier's values",
        _STORED,
        artifact=_FEATURES,
        patch=faults.leftover,
        along="drop path on identities",
    ),
    Break(
        "no signature serving_default",
        _SIGNATURES,
        "serving_default",
        artifact=_SERVING,
        patch=faults.replace(saved_model, "SAVED_MODEL_2", _WITHOUT_SERVING),
        along="no ReLU before the global pooling",
    ),
    Break(
        "a signature with another input",
        _SIGNATURES,
        "images",
        artifact=_SERVING,
        patch=faults.replace(saved_model, "SERVING_INPUT", "images"),
        along="states of a cell concatenated in another order",
    ),
    Break(
        "an operation that TensorFlow 1.15 lacks",
        "compatibility problems with TensorFlow 1.15",
        "BatchMatMulV3",
        patch=faults.unknown_operation(),
        along="average pooling that counts the padding",
    ),
    # TF1 Hub modules.
    _hub(_value("TF1 Hub: a kernel times 1.001", "cell_1/1x1/weights", "Cell_1", faults.scaled("cell_1/1x1/weights"))),
    _hub(
        Break(
            "TF1 Hub: logits shifted by one class",
            "{} default, relative difference",
            "",
            "Logits",
            _GRAPH,
            patch=faults.changed_logits(lambda net: tf.roll(net, 1, 1)),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: drop path of the whole batch",
            _SHARED,
            patch=faults.operations_with(drop=faults.whole_batch),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a gradient stopped at an identity",
            _STOPS,
            patch=faults.stopped_identity("cell_1"),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: L2 of the classifier's biases",
            _UNDER_L2,
            "final_layer/FC/biases",
            also=("L2",),
            patch=faults.changed_kernels(lambda name, right: right or name.endswith("FC/biases")),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: no L2",
            _L2,
            "of 0",
            also=("L2",),
            patch=faults.changed_collections(faults.no_loss),
            along="TF1 Hub: two end points swapped",
        )
    ),
    _hub(Break("TF1 Hub: default momentum 0.9", _DEFAULT, momentum=0.9)),
    _hub(
        Break(
            "TF1 Hub: no tag set {train}",
            "tag sets that differ",
            patch=faults.replace(hub_module, "TAG_SETS", (frozenset(),)),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: an update operation left out",
            "update operations of {train}, difference",
            patch=faults.changed_collections(faults.one_update_less),
            also=("training", "variables changed by training"),
            along="TF1 Hub: logits shifted by one class",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: an update operation for inference",
            "update operations of {}",
            patch=faults.changed_collections(faults.update_in_inference),
            along="TF1 Hub: a kernel times 1.001",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a collection that hub.Module refuses",
            "collections that readers refuse",
            "losses",
            patch=faults.changed_collections(faults.collection_of_losses),
            along="TF1 Hub: a kernel times 1.001",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a signature left out",
            "signatures of {} that differ",
            "image_feature_vector",
            also=("signatures of {train} that differ",),
            patch=faults.hub_signatures(lambda named: named.pop("image_feature_vector")),
            along="TF1 Hub: two end points swapped",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a signature without its momentum",
            "signatures of {} that differ",
            "image_feature_vector_with_bn_hparams/batch_norm_momentum",
            also=("signatures of {train} that differ",),
            patch=faults.hub_signatures(faults.without_momentum),
            along="TF1 Hub: default momentum 0.9",
        )
    ),
    _hub(
        Break(
            "TF1 Hub: two end points swapped",
            "outputs of {} default, relative difference",
            "",
            "Cell_0",
            _GRAPH,
            patch=faults.hub_outputs(faults.swap_end_points),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: a batch of three only",
            "loads and runs",
            "GatherV2",
            patch=faults.inference(faults.changed_cell("cell_1", faults.fixed_batch)),
        )
    ),
    _hub(
        Break(
            "TF1 Hub: another image size attached",
            "image sizes attached that differ",
            "33",
            patch=faults.image_size(),
            along="TF1 Hub: a kernel times 1.001",
        )
    ),
)


#: In the order of the page that shows them.
BREAKS: tuple[Break, ...] = (*_OF_TENSORFLOW, *onnx_breaks.BREAKS, *keras_breaks.BREAKS, *litert_breaks.BREAKS)

#: What is written: the breaks of each artifact.
ARTIFACTS: tuple[tuple[Break, ...], ...] = tuple(
    (first, *(other for other in BREAKS if other.along == first.what)) for first in BREAKS if not first.along
)


def table() -> str:
    """The table of breaks, in Markdown."""
    rows = [f"| {wrong.what} | {wrong.check} | {wrong.begins.rpartition('/')[2]} |" for wrong in BREAKS]
    return "\n".join(["| what is wrong | the check that says so | begins in |", "|---|---|---|", *rows]) + "\n"


def _change_onnx(folder: Path, edit: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load_model(folder / ONNX_FILE)
    edit(model)
    onnx.save_model(model, folder / ONNX_FILE)


#: By format, what applies the ``edit`` of a break to an artifact that was written right.
_CHANGE: dict[str, Callable[[Path, Any], None]] = {
    "onnx": _change_onnx,
    "keras": lambda folder, edit: keras_faults.change(folder / KERAS_FILE, edit),
}


def _write(good: Path, prefix: Path, output: Path, numbers: list[int]) -> None:
    """Writes those of `ARTIFACTS`, each into a folder of its number below ``output``."""
    metadata = read_metadata(good)
    assert metadata, "nasexport wrote it"
    config = metadata.model
    for number in numbers:
        breaks, folder = ARTIFACTS[number], output / str(number)
        task, version = breaks[0].artifact
        if not all(wrong.values for wrong in breaks) or version != metadata.version:
            held = _variables(prefix, config, all(wrong.averages for wrong in breaks))
            momentum = next(
                (wrong.momentum for wrong in breaks if wrong.momentum != DEFAULT_MOMENTUM), DEFAULT_MOMENTUM
            )
            with contextlib.ExitStack() as patches:
                for wrong in breaks:
                    if wrong.patch:
                        patches.enter_context(wrong.patch(held))
                writer(config.format_spec(version), config, task, held).write(
                    version, folder, ArtifactOptions(momentum)
                )
        else:
            shutil.copytree(good, folder)
        for wrong in breaks:
            if wrong.values:
                bundles.change(folder, wrong.values)
            if wrong.edit:
                _CHANGE[config.format_spec(version).name](folder, wrong.edit)
            if wrong.change:
                wrong.change(folder)
        spec, options = config.format_spec(version), metadata.options
        own = msgspec.structs.replace(
            metadata,
            task=task,
            version=version,
            format=spec.name,
            options=options if spec.is_trained else ArtifactOptions(None),
        )
        write_metadata(folder, own)


def _variables(prefix: Path, config: ModelConfig, averages: bool) -> Held:
    with mock.patch.object(names, "AVERAGE", names.AVERAGE if averages else "/None"):
        read = reader.Checkpoint(prefix, config, variables(config, "classification"))
        return read.tensors()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(table(), end="")
    else:
        _write(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), [int(number) for number in sys.argv[4:]])
