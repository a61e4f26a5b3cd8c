"""What makes the tool fast, guarded by counting and not by a clock: functions, operations, reads and Python calls."""

import cProfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from exporter.artifact import export
from exporter.artifact.jobs import ExportRequest, ExportTarget
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.stored import Stored
from exporter.checkpoint.values import Values
from exporter.graph import network
from exporter.models.config import TASKS, ModelConfig, model
from exporter.models.variables import variables
from tests.support import bundles

v1 = tf.compat.v1
#: Operations that compute nothing: there are as many as it takes.
_READING = {"ReadVariableOp", "VarHandleOp", "Const", "Placeholder"}


class _Handle:
    def __init__(self, name: str, shape: tuple[int, ...]):
        self.handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=shape, shared_name=name)


def _built(config: ModelConfig, *, training: bool = False) -> Any:
    with tf.Graph().as_default() as graph:
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3])
        network.build(config, "classification", images, _Handle, training=training)
    return graph


def _written(config: ModelConfig, checkpoint: Path, folder: Path, *versions: int) -> dict[int, Path]:
    targets = tuple(
        ExportTarget("classification", version, ArtifactOptions(0.99), folder / str(version)) for version in versions
    )
    request = ExportRequest(config, checkpoint, targets)
    assert not export.export(request, lambda _: None, lambda _: None).failed
    return {version: folder / str(version) for version in versions}


def _functions(artifact: Path) -> list[Any]:
    (meta_graph,) = saved_model_pb2.SavedModel.FromString((artifact / "saved_model.pb").read_bytes()).meta_graphs
    return list(meta_graph.graph_def.library.function)


@pytest.fixture(scope="module")
def config(tiny: Path) -> ModelConfig:
    return model(str(tiny))


@pytest.fixture(scope="module")
def artifacts(config: ModelConfig, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return _written(config, tiny_checkpoint, tmp_path_factory.mktemp("structure"), 3, 4, 5)


def test_a_graph_has_no_operation_that_its_architecture_does_not_need(config: ModelConfig) -> None:
    """Each batch norm, convolution and variable once, and a handful of operations for the network as a whole."""
    specs = variables(config, "classification")
    leaves = Counter(spec.name.rsplit("/", 1)[1] for spec in specs)
    found = Counter(op.type for op in _built(config).get_operations())
    assert found["FusedBatchNormV3"] == leaves["gamma"]
    assert found["Conv2D"] == leaves["weights"] - 1 + leaves["pointwise_weights"]  # the classifier's is a matrix
    assert found["DepthwiseConv2dNative"] == leaves["depthwise_weights"]
    assert found["ReadVariableOp"] == found["VarHandleOp"] == len(specs)
    trained = Counter(op.type for op in _built(config, training=True).get_operations())
    statistics = leaves["moving_mean"] + leaves["moving_variance"]
    assert trained["AssignSubVariableOp"] == statistics
    assert trained["ReadVariableOp"] == len(specs)
    decisions = trained["RandomUniform"]
    more = {"Sub": statistics, "Mul": statistics + decisions, "AssignSubVariableOp": statistics} | dict.fromkeys(
        ("RealDiv", "Floor", "AddV2", "RandomUniform"), decisions
    )
    assert {kind: trained[kind] - found[kind] for kind in more} == more
    assert trained["Const"] - found["Const"] <= decisions + 10


def test_an_artifact_has_the_functions_that_it_needs(artifacts: dict[int, Path]) -> None:
    """Two for calling, one for the losses, and one for the signature, which holds no network of its own."""
    assert len(_functions(artifacts[4])) == 3
    sizes = sorted(len(function.node_def) for function in _functions(artifacts[5]))
    assert len(sizes) == 4
    assert sizes[0] <= 5


def test_functions_have_nothing_that_readers_work_out(artifacts: dict[int, Path]) -> None:
    for function in _functions(artifacts[5]):
        shaped = {node.op for node in function.node_def if "_output_shapes" in node.attr}
        assert shaped <= {"ReadVariableOp"}


@pytest.mark.long
def test_each_value_is_read_from_the_checkpoint_once(reducing: Path, reducing_checkpoint: Path, tmp_path: Path) -> None:
    """For two tasks and all versions; what is not exported, the auxiliary head, is read for its checksum."""
    config, right, restore = model(str(reducing)), Values.read, tf.raw_ops.RestoreV2
    read: Counter[str] = Counter()

    def counted(self: Values, key: str) -> Any:
        read[key] += 1
        return right(self, key)

    def restored(**arguments: Any) -> Any:
        read.update(arguments["tensor_names"])
        return restore(**arguments)

    targets = tuple(
        ExportTarget(task, version, ArtifactOptions(0.99), tmp_path / f"{task}{version}")
        for task in TASKS
        for version in config.versions
    )
    with mock.patch.object(Values, "read", counted), mock.patch.object(tf.raw_ops, "RestoreV2", restored):
        request = ExportRequest(config, reducing_checkpoint, targets)
        assert not export.export(request, lambda _: None, lambda _: None).failed
    wanted = {spec.name for spec in variables(config, "classification")}
    # A few of them are looked at to know whether it is synthetic, where it does not say so.
    assert sum(read[name] for name in wanted) <= len(wanted) + 3 and min(read[name] for name in wanted) == 1
    # Some are needed to know what the checkpoint is.
    assert set(read) == set(Stored(reducing_checkpoint).keys) > wanted and max(read.values()) <= 2


def test_an_artifact_stores_each_value_once(artifacts: dict[int, Path], config: ModelConfig) -> None:
    size = 4 * sum(spec.size for spec in variables(config, "classification"))
    for artifact in artifacts.values():
        data = bundles.data_file(artifact / "variables" / "variables")
        assert size <= data.stat().st_size < size + 200_000


def _calls(work: Callable[[], Any]) -> int:
    """How many calls of Python functions and of C functions ``work`` makes."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def _of_cells(config: ModelConfig, cells: int) -> ModelConfig:
    return msgspec.structs.replace(config, num_cells=cells, reductions=())


@pytest.mark.long
@pytest.mark.parametrize("training", [False, True])
def test_building_is_linear_in_the_number_of_cells(config: ModelConfig, training: bool) -> None:
    """Operations and calls: a cell more costs the same, however many there are."""
    sizes = (2, 4, 8)
    _built(_of_cells(config, 2), training=training)  # what is imported and cached at first use
    operations, calls = [], []
    for cells in sizes:
        calls.append(_calls(lambda cells=cells: operations.append(_built(_of_cells(config, cells), training=training))))  # type: ignore[misc]
    counts = [len(graph.get_operations()) for graph in operations]
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])
    assert (calls[2] - calls[1]) / (2 * (calls[1] - calls[0])) == pytest.approx(1, abs=0.05)


@pytest.mark.long
def test_writing_is_linear_in_the_number_of_cells(config: ModelConfig, tmp_path: Path) -> None:
    """All that happens for versions 3 and 5, tracing and the file's own graphs included."""
    found = []
    for cells in (1, 2, 4, 8):
        grown = _of_cells(config, cells)
        values = {spec.name: tf.zeros(spec.shape) for spec in variables(grown, "classification")}
        writers = [export.writer(grown.format_spec(version), grown, "classification", values) for version in (3, 5)]
        found.append(
            _calls(
                lambda writers=writers, cells=cells: [  # type: ignore[misc]
                    writer.write(version, tmp_path / f"{cells}-{version}", ArtifactOptions(0.99))
                    for writer, version in zip(writers, (3, 5), strict=True)
                ]
            )
        )
    assert (found[3] - found[2]) / (2 * (found[2] - found[1])) == pytest.approx(1, abs=0.1)
