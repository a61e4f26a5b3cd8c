"""LiteRT models that are wrong on purpose: the rows of `tests.support.breaks` that are theirs."""

from pathlib import Path
from unittest import mock

import tensorflow as tf

from exporter.artifact import litert
from exporter.models.config import Task
from exporter.models.formats import LITERT_FILE, LITERT_MORE_FILES, Version
from tests.support import faults
from tests.support.broken import Break
from tests.support.faults import Held, Patch

_OUTPUT = "output, relative difference"
_INTERFACE = "inputs and outputs that differ"
_TYPES = "types of weights that differ"
_BESIDE = "files beside the model that differ"
_RUNS = "loads and runs"
_ARTIFACT: tuple[Task, Version] = ("classification", "litert")


def _graph(what: str, patch: Patch) -> Break:
    """Nothing but outputs tells, as the file has no end points, and no weights that are the checkpoint's."""
    return Break(f"LiteRT: {what}", _OUTPUT, also=("inference",), artifact=_ARTIFACT, patch=patch)


def _value(name: str, factor: float) -> Patch:
    """Another value of a variable in the place of the checkpoint's."""

    def patched(held: Held) -> mock._patch_dict:
        return mock.patch.dict(held, {name: held[name] * factor})

    return patched


def _built(**options: object) -> Patch:
    """A model that is built with other options."""
    right = litert.build

    def build(config, task, values, precision):
        return right(config, task, values, **{"precision": precision, **options})

    return faults.replace(litert, "build", build)


def _named(name: str) -> Patch:
    return faults.replace(litert, "SIGNATURE", name)


def _other_crop(folder: Path) -> None:
    file = folder / LITERT_MORE_FILES[0]
    file.write_text(file.read_text(encoding="utf-8").replace("0.875", "0.9"), encoding="utf-8")


def _cut(folder: Path) -> None:
    file = folder / LITERT_FILE
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


BREAKS: tuple[Break, ...] = (
    _graph("a kernel times 1.01", _value("cell_1/1x1/weights", 1.01)),
    _graph("RGB read as BGR", faults.images(lambda net: net[..., ::-1])),
    _graph("images expected in [0, 255]", faults.images(lambda net: (net + 1) / 255 - 1)),
    _graph("padding counted in average pools", faults.pooling("cell_1", faults.counting_padding)),
    _graph(
        "symmetric padding where a layer strides",
        faults.operations_with(separable_convolution=faults.symmetric_padding),
    ),
    _graph("logits shifted by one class", faults.changed_logits(lambda net: tf.concat([net[:, -1:], net[:, :-1]], 1))),
    Break(
        "LiteRT: class 0 dropped",
        _INTERFACE,
        "output logits",
        also=("inference",),
        artifact=_ARTIFACT,
        patch=faults.changed_logits(lambda net: net[:, 1:]),
    ),
    Break(
        "LiteRT: float16 where float32 was promised",
        _TYPES,
        "float16",
        also=("inference",),
        artifact=_ARTIFACT,
        patch=_built(precision="float16"),
    ),
    Break(
        "LiteRT: an output for each end point", _INTERFACE, "Cell_0", artifact=_ARTIFACT, patch=_built(end_points=True)
    ),
    Break("LiteRT: a signature of another name", _RUNS, "serving_default", artifact=_ARTIFACT, patch=_named("serve")),
    Break(
        "LiteRT: another central crop beside it", _BESIDE, "preprocessing.json", artifact=_ARTIFACT, change=_other_crop
    ),
    Break("LiteRT: half of the file", _RUNS, artifact=_ARTIFACT, change=_cut),
)
