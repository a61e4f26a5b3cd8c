"""Gets what the artifacts of a checkpoint are compared with: recorded before, or computed in processes of their own."""

from dataclasses import dataclass

from exporter.checkpoint.source import Source
from exporter.errors import ArtifactError, ConfigError
from exporter.models.config import ModelConfig, Task
from exporter.processes.runner import Runner
from exporter.progress import Say
from exporter.reference import recorded
from exporter.reference.jobs import (
    INDEPENDENT,
    KERAS_NETWORKS,
    PRECISE_TRAINING,
    REFERENCE,
    ROUNDED,
    IndependentRequest,
    Kind,
    ReferenceRequest,
)
from exporter.reference.result import EndPoints, Reference, read
from exporter.settings import Settings
from exporter.verification.options import VerificationOptions


@dataclass(frozen=True)
class References:
    """What artifacts are compared with.

    ``reference`` is what they must give; ``independent`` has what other implementations gave. ``notes`` are for the
    reports of the artifacts.
    """

    reference: Reference
    independent: dict[Kind, Reference]
    notes: tuple[str, ...]


def get(
    config: ModelConfig,
    source: Source,
    task: Task,
    settings: Settings,
    options: VerificationOptions,
    runner: Runner,
    say: Say,
) -> References:
    """The reference of a checkpoint: a recorded one, one that is computed now, or both where the first is not whole.

    Raises:
        ArtifactError: the recorded one is damaged, or another model's.
        ConfigError: another implementation was asked for that does not exist.
        CheckpointError: the checkpoint is not that of the model.
    """
    reference = Reference()
    notes: tuple[str, ...] = ()
    if path := options.reference or recorded.find(source.files, settings):
        reference, facts = recorded.load(path, config)
        # Whatever the files are called.
        if recorded.key(facts.files) != recorded.key(source.files):
            raise ArtifactError(f"{path} was recorded from other files than those of the checkpoint")
        notes = (f"compared with a recorded reference ({facts.recorded_with})",)
    if not reference.is_whole:
        # What the original network gave counts for more than what ours gives.
        reference = _computed(config, source, task, runner, say).preceded_by(reference)
    independent = {kind: _independent(kind, config, source, runner, say) for kind in options.against}
    return References(reference, independent, notes)


def _computed(config: ModelConfig, source: Source, task: Task, runner: Runner, say: Say) -> Reference:
    output = runner.folder / "reference"
    runner.run(REFERENCE, ReferenceRequest(config, source.prefix, task, output), say)
    return read(output)


def rounded(config: ModelConfig, source: Source, runner: Runner, say: Say) -> EndPoints:
    """What the network gives with weights of 16 bits, see `exporter.reference.rounded`."""
    output = runner.folder / ROUNDED
    runner.run(INDEPENDENT, IndependentRequest(config, source.prefix, ROUNDED, output), say)
    return read(output).end_points


def precise(config: ModelConfig, source: Source, task: Task, runner: Runner, say: Say) -> Reference:
    """What the network gives in training with batch norms in double precision: `exporter.reference.precise_training`.

    Its ``batch_statistics`` have the variance of the pixels of the batch.
    """
    output = runner.folder / "precise-training"
    runner.run(PRECISE_TRAINING, ReferenceRequest(config, source.prefix, task, output), say)
    return read(output)


def _independent(kind: Kind, config: ModelConfig, source: Source, runner: Runner, say: Say) -> Reference:
    if kind == "keras" and config.name not in KERAS_NETWORKS:
        raise ConfigError(f"Keras Applications has no {config.name}: compare it with --against numpy")
    output = runner.folder / f"independent-{kind}"
    runner.run(INDEPENDENT, IndependentRequest(config, source.prefix, kind, output), say)
    return read(output)
