"""Verifies artifacts: reference and artifact each in a fresh process, compared check by check."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exporter import artifact, comparison, worker
from exporter.checks import Check, Expected, Report
from exporter.config import TASKS, ModelConfig, Task, models
from exporter.errors import ArtifactError, ConfigError, WorkerError
from exporter.fetch import opened
from exporter.progress import SILENT, Listener, Say
from exporter.settings import Settings
from exporter.source import Source


class Verifier:
    """Verifies artifacts of one checkpoint, computing the reference once.

    Use it as a context manager: the reference lives in a temporary folder.
    """

    def __init__(self, config: ModelConfig, source: Source, task: Task, *, debug: bool = False):
        """``task`` is "classification" where any artifact to come is one."""
        self._config, self._source, self._task, self._debug = config, source, task, debug
        self._reference: dict[str, Any] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="nasexport-")

    def __enter__(self) -> "Verifier":
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def prepare(self, report: Say = lambda _: None) -> None:
        """Computes the reference, where that has not been done yet."""
        if self._reference is None:
            output = Path(self._folder.name) / "reference.npz"
            request = {
                "config": self._config.to_dict(),
                "task": self._task,
                "prefix": str(self._source.prefix),
                "output": str(output),
            }
            self._run("reference", request, report)
            self._reference = comparison.load(output)

    def verify(self, path: Path, expected: Expected, report: Say = lambda _: None) -> Report:
        """Checks the artifact in ``path``; failures are collected in the report, a crash of its process is one of them.

        Raises:
            CheckpointError: the checkpoint is not that of the model.
        """
        self.prepare(report)
        assert self._reference is not None
        output = Path(self._folder.name) / "found.npz"
        request = {"path": str(path), "image_size": expected.config.image_size, "output": str(output)}
        try:
            result = self._run("probe", request, report)
        except (ArtifactError, WorkerError) as error:
            return Report(str(path), (Check("loads and runs", float("nan"), 0, str(error)),))
        found = comparison.load(output)
        checks = comparison.compare(expected, self._reference, found, result["findings"])
        measured = comparison.measured(expected, self._reference, found)
        measured |= {"tensorflow": result["tensorflow"], "source": self._source.provenance()}
        return Report(str(path), tuple(checks), measured=measured)

    def _run(self, job: str, request: dict[str, Any], report: Say) -> dict[str, Any]:
        return worker.run(job, request, report, self._debug)


def expected_of(path: Path) -> tuple[Expected, dict[str, Any]]:
    """What an artifact must be, and its metadata, from the ``nasexport.json`` beside it.

    Raises:
        ArtifactError: there is no artifact, or nothing says what it should be.
    """
    artifact.require_saved_model(path)
    metadata = artifact.read_metadata(path)
    if metadata is None:
        raise ArtifactError(
            f"{path} has no {artifact.METADATA_FILE}: only artifacts that nasexport wrote can be verified"
        )
    try:
        config = models().get(metadata["model"]["name"]) or ModelConfig.from_dict(metadata["model"])
        momentum = float(metadata["options"]["batch_norm_momentum"])
        version = int(metadata["version"])
        config.versions[version]
        task: Task = metadata["task"]
        if task not in TASKS or not isinstance(metadata["source"], dict):
            raise ValueError("no such task, or no source")
        return Expected(config, task, version, momentum), metadata
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise ArtifactError(f"{path / artifact.METADATA_FILE} is damaged: {error}") from error


def verify(
    paths: Sequence[Path],
    checkpoint: Path | None = None,
    settings: Settings = Settings(),
    *,
    listener: Listener = SILENT,
    debug: bool = False,
) -> list[Report]:
    """Checks artifacts that nasexport wrote against a checkpoint, or against the published archive.

    Raises:
        ArtifactError: one of ``paths`` is no artifact, or was made from a synthetic checkpoint and none is given.
        CheckpointError, FetchError: the checkpoint cannot be had, or is not the model's.
    """
    wanted = {path: expected_of(path) for path in paths}
    reports: dict[Path, Report] = {}
    for name in dict.fromkeys(expected.config.name for expected, _ in wanted.values()):
        group = {path: pair for path, pair in wanted.items() if pair[0].config.name == name}
        config = next(iter(group.values()))[0].config
        for path, (_, metadata) in group.items():
            if checkpoint is None and metadata["source"].get("synthetic"):
                raise ArtifactError(
                    f"{path} was made from a synthetic checkpoint ({_described(metadata['source']['synthetic'])}):\n"
                    f"pass that with --checkpoint; the published weights cannot verify it"
                )
        task: Task = (
            "classification" if any(pair[0].task == "classification" for pair in group.values()) else "feature_vector"
        )
        with (
            opened(config, checkpoint, settings, listener) as found,
            Verifier(config, found, task, debug=debug) as verifier,
        ):
            for path, (expected, metadata) in group.items():
                checked = verifier.verify(path, expected, listener.step)
                reports[path] = dataclasses.replace(checked, notes=_notes(metadata, found))
    return [reports[path] for path in paths]


def _described(synthetic: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(synthetic.items()))


def _notes(metadata: dict[str, Any], opened: Source) -> tuple[str, ...]:
    notes = []
    made_from = metadata["source"]
    if made_from.get("files") != opened.files:
        notes.append("compared with another file than it was made from; only the values decide")
    if made_from.get("synthetic"):
        notes.append(
            f"made from a synthetic checkpoint ({_described(made_from['synthetic'])}), not from published weights"
        )
    return tuple(notes)
