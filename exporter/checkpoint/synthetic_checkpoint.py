"""Writes synthetic checkpoints of the layouts that real ones have."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from exporter.checkpoint import names, synthetic
from exporter.checkpoint.bundle_writer import save
from exporter.checkpoint.jobs import Layout, SynthesizeRequest, SynthesizeResult
from exporter.checkpoint.names import AVERAGE
from exporter.checkpoint.synthetic import Floats
from exporter.files import staging
from exporter.files.archive import is_archive
from exporter.files.packing import pack_compressed
from exporter.models.config import ModelConfig
from exporter.models.variables import VariableSpec, all_variables
from exporter.progress import Say
from exporter.without_tensorflow import require_tensorflow

_GLOBAL_STEP = 500_000


def synthesize(request: SynthesizeRequest, say: Say) -> SynthesizeResult:
    """The job `exporter.checkpoint.jobs.SYNTHESIZE`: writes a synthetic checkpoint."""
    config, output, layout, seed = request.config, request.output, request.layout, request.seed
    values = weights(config, seed, say)
    if layout == "plain" and not config.checkpoint_has_auxiliary_head:
        values = {spec: value for spec, value in values.items() if spec.role != "auxiliary_head"}
    tensors: dict[str, Any] = dict(LAYOUTS[layout](values))
    count = len(tensors)
    marker = {"model": config.name, "seed": seed, "layout": layout}
    tensors[names.MARKER] = json.dumps(marker, sort_keys=True).encode()

    output.parent.mkdir(parents=True, exist_ok=True)
    with staging.folder_beside(output) as folder:
        say("writing the checkpoint")
        prefix = folder / ("model.ckpt" if is_archive(output) else output.name)
        save(prefix, tensors)
        if is_archive(output):
            say("packing the archive")
            with staging.replacing(output) as packed:
                pack_compressed(folder, packed)
            files = [output]
        else:
            files = sorted(folder.iterdir())
            # The index last: a prefix without it is no checkpoint to any reader.
            for file in sorted(files, key=lambda file: file.suffix == ".index"):
                os.replace(file, output.parent / file.name)
            files = [output.parent / file.name for file in files]
    return SynthesizeResult(count, {str(file): file.stat().st_size for file in files})


def weights(config: ModelConfig, seed: int, say: Say = lambda _: None) -> dict[VariableSpec, Floats]:
    """All variables of a training graph with their synthetic values, the same for the same seed.

    Statistics are recorded ones where there are any (seed 0 of the four known networks), else measured with one pass
    of `synthetic.CALIBRATION_IMAGES`, so that activations keep unit scale.

    Raises:
        TensorFlowNeededError: they have to be measured, and this process has no TensorFlow.
    """
    statistics = synthetic.recorded_statistics(config.name) if seed == synthetic.RECORDED_SEED else {}
    if not statistics:
        require_tensorflow()
    say("making the weights")
    values = {spec: synthetic.base_value(spec, seed) for spec in all_variables(config)}
    if not statistics:
        from exporter.checkpoint.calibration import calibrate

        say("calibrating")
        statistics = calibrate(config, values)
    for spec in values:
        if spec.name in statistics:
            values[spec] = statistics[spec.name]
    return values


def _plain(values: dict[VariableSpec, Floats]) -> Iterator[tuple[str, Any]]:
    for spec, value in values.items():
        yield spec.name, value


def _averages(values: dict[VariableSpec, Floats]) -> Iterator[tuple[str, Any]]:
    for spec, value in values.items():
        yield spec.name + (AVERAGE if spec.trainable else ""), value


def _training(values: dict[VariableSpec, Floats]) -> Iterator[tuple[str, Any]]:
    """Averages of everything, the values of the last step beside them, optimizer slots, and the step."""
    for spec, value in values.items():
        yield spec.name + AVERAGE, value
        # A little off the average, so that whoever exports these instead is found out.
        yield spec.name, value * np.float32(1.03125)
        if spec.trainable:
            yield spec.name + "/RMSProp", np.ones(spec.shape, np.float32)
            yield spec.name + "/RMSProp_1", np.zeros(spec.shape, np.float32)
    yield "global_step", np.int64(_GLOBAL_STEP)


LAYOUTS: dict[Layout, Callable[[dict[VariableSpec, Floats]], Iterator[tuple[str, Any]]]] = {
    "plain": _plain,
    "averages": _averages,
    "training": _training,
}
