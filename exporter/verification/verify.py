"""Verifies artifacts: reference and artifact each in a process of its own, compared check by check."""

import contextlib
import dataclasses
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.artifact import folder as artifact
from exporter.artifact import packed
from exporter.artifact.jobs import INSPECT, Inspection, InspectRequest
from exporter.artifact.metadata import METADATA_FILE, Metadata, read_metadata
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.source import Source
from exporter.errors import NOT_DONE, ArtifactError, ConfigError
from exporter.fetch.published import opened
from exporter.files import temporary
from exporter.models.config import ModelConfig, Task, largest_task, listed
from exporter.models.formats import FORMATS, FormatSpec, Version
from exporter.probe.jobs import PROBE
from exporter.processes import run, scheduler
from exporter.processes.memory import cores, usual_memory
from exporter.progress import SILENT, Listener, Say
from exporter.reference import recorded as references
from exporter.reference.jobs import REFERENCE, ReferenceRequest
from exporter.reference.result import read
from exporter.settings import Settings
from exporter.verification.expectation import said_by
from exporter.verification.options import VerificationOptions
from exporter.verification.pipeline import Pipeline
from exporter.verification.prober import Probed
from exporter.verification.results import Check, Expected, Report
from exporter.verification.verifier import Verifier


def expected_of(
    path: Path, options: VerificationOptions = VerificationOptions(), *, debug: bool = False
) -> tuple[Expected, Metadata | None]:
    """What an artifact must be, and its metadata, from the ``nasexport.json`` beside it or from the user.

    Raises:
        ArtifactError: there is no artifact, or nothing says what it should be.
        ConfigError: the model has no such version.
    """
    artifact.require_readable(path, running=True)
    metadata = read_metadata(path)
    if options.model is not None:
        return _foreign(path, options.model, options, debug), metadata
    if metadata is None:
        raise ArtifactError(
            f"{path} has no {METADATA_FILE}, so nasexport did not write it: say with --model what it should be",
            status=NOT_DONE,
        )
    return said_by(path, metadata), metadata


def require_checkpoint(path: Path, metadata: Metadata | None, checkpoint: Path | None) -> None:
    """Raises ArtifactError where an artifact is to be compared with the published weights, and has made-up ones."""
    synthetic = metadata and metadata.source.synthetic
    if checkpoint is None and synthetic:
        raise ArtifactError(
            f"{path} was made from a synthetic checkpoint ({_described(synthetic)}):\n"
            f"pass that with --checkpoint; the published weights cannot verify it",
            status=NOT_DONE,
        )


def _foreign(path: Path, config: ModelConfig, options: VerificationOptions, debug: bool) -> Expected:
    """What an artifact of unknown origin must be: its version and task are what its files look like."""
    found = run.run(INSPECT, InspectRequest(path), debug=debug, time_limit=options.time_limit).result
    version: Version | None = options.version
    task: Task = "classification" if _classifies(found, config) else "feature_vector"
    if version is None:
        signatures = {name for named in found.signatures.values() for name in named}
        guessed: Version = pkgutil.resolve_name(FORMATS[found.format].guess_version)(signatures)
        version = guessed
    if config.all_versions.get(version) != found.format:
        have = listed(config.all_versions)
        raise ConfigError(f"{path} is of format {found.format}, and {config.name} has versions {have}")
    return Expected(config, task, version, ArtifactOptions(config.version_spec(version).momentum), ordered=False)


def _classifies(found: Inspection, config: ModelConfig) -> bool:
    """Whether an artifact has the classifier's variables, or where it has names of its own, an output of that size."""
    outputs = [
        facts.shape
        for named in found.signatures.values()
        for signature in named.values()
        for facts in signature.outputs.values()
    ]
    return any("final_layer/FC" in variable.name for variable in found.variables.list) or any(
        shape is not None and len(shape) == 2 and shape[1] == config.num_classes for shape in outputs
    )


def verify(
    paths: Sequence[Path],
    checkpoint: Path | None = None,
    settings: Settings = Settings(),
    options: VerificationOptions = VerificationOptions(),
    *,
    jobs: int | None = None,
    listener: Listener = SILENT,
    debug: bool = False,
) -> list[Report]:
    """Checks artifacts against a checkpoint, or against the published archive.

    Args:
        jobs: how many may run at a time; by default as many as there are cores.

    Raises:
        ArtifactError: one of ``paths`` is no artifact, or was made from a synthetic checkpoint and none is given.
        CheckpointError, FetchError: the checkpoint cannot be had, or is not the model's.
    """
    with contextlib.ExitStack() as stack:
        folders = {path: stack.enter_context(packed.opened(path)) for path in paths}
        return _verify(folders, checkpoint, settings, options, jobs or cores(), listener, debug)


def _verify(
    folders: Mapping[Path, Path],
    checkpoint: Path | None,
    settings: Settings,
    options: VerificationOptions,
    jobs: int,
    listener: Listener,
    debug: bool,
) -> list[Report]:
    """Verifies artifacts in ``folders``, by the paths that the user knows them by."""
    wanted = {path: expected_of(folder, options, debug=debug) for path, folder in folders.items()}
    reports: dict[Path, Report] = {}
    for name in dict.fromkeys(expected.config.name for expected, _ in wanted.values()):
        group = {path: pair for path, pair in wanted.items() if pair[0].config.name == name}
        config = next(iter(group.values()))[0].config
        for path, (_, metadata) in group.items():
            require_checkpoint(path, metadata, checkpoint)
        task = largest_task({expected.task for expected, _ in group.values()})
        needed = any(each.config.format_spec(each.version).runs_with_tensorflow for each, _ in group.values())
        with (
            # Imported while the checkpoint is unpacked.
            run.shared_import(REFERENCE, PROBE, at_once=needed, debug=debug),
            opened(config, checkpoint, settings, listener, debug=debug, time_limit=options.time_limit) as found,
            Verifier(config, found, task, settings, options, debug=debug) as verifier,
        ):
            verifying = _Verifying(config, group, folders, found, verifier, listener)
            scheduler.run(verifying.tasks(), jobs, usual_memory())
            reports |= verifying.reports
    return [reports[path] for path in folders]


class _Verifying(Pipeline[Path]):
    """The reports of a model's artifacts, by their paths: side by side where none spares another some of the work."""

    def __init__(
        self,
        config: ModelConfig,
        group: Mapping[Path, tuple[Expected, Metadata | None]],
        folders: Mapping[Path, Path],
        source: Source,
        verifier: Verifier,
        listener: Listener,
    ):
        super().__init__(config, {}, needs_reference=True)
        self._group, self._folders, self._source, self._verifier = group, folders, source, verifier
        self._listener = listener
        self.reports: dict[Path, Report] = {}

    def prepare(self) -> None:
        with self._listener.job("") as say:
            self._verifier.prepare(say)

    def exported(self, name: str) -> dict[Path, tuple[FormatSpec, Task]]:
        expected = {path: expected for path, (expected, _) in self._group.items()}
        return {path: (each.config.format_spec(each.version), each.task) for path, each in expected.items()}

    def probe(self, key: Path) -> Probed | Check:
        with self._job(key) as say:
            return self._verifier.probe(self._folders[key], self._group[key][0], say)

    def complete(self, key: Path, probed: Probed | Check) -> None:
        expected, metadata = self._group[key]
        with self._job(key) as say:
            checked = self._verifier.judge(self._folders[key], expected, probed, say)
        notes = (*checked.notes, *_notes(metadata, self._source))
        # What is wrong is told by the path that the user knows.
        checks = tuple(_with_path(check, self._folders[key], key) for check in checked.checks)
        self.reports[key] = dataclasses.replace(checked, path=str(key), checks=checks, notes=notes)

    def forget(self, spec: FormatSpec) -> None:
        self._verifier.forget(spec)

    def _job(self, path: Path) -> contextlib.AbstractContextManager[Say]:
        return self._listener.job("" if len(self._folders) == 1 else str(path))


def record(
    config: ModelConfig,
    checkpoint: Path | None = None,
    settings: Settings = Settings(),
    output: Path | None = None,
    *,
    listener: Listener = SILENT,
    debug: bool = False,
) -> Path:
    """Computes the reference of a checkpoint and keeps it, whole, for later verifications; where it is.

    Args:
        output: the file to write; by default it goes into the cache, where `verify` and ``build`` find it.

    Raises:
        NasexportError: as `verify` does.
    """
    with opened(config, checkpoint, settings, listener, debug=debug) as found, temporary.folder() as folder:
        path = folder / "reference"
        request = ReferenceRequest(config, found.prefix, "classification", path)
        result = run.run(REFERENCE, request, listener.step, debug).result
        arrays = read(path).condensed()
        facts = {
            "model": config.name,
            "recorded_with": f"nasexport's TF-Slim graph under TensorFlow {result.tensorflow}",
            "files": found.files,
            "synthetic": result.synthetic,
        }
        target = output or settings.cache / "references" / f"{references.key(found.files)}.npz"
        references.save(target, arrays, facts)
    return target


def _with_path(check: Check, folder: Path, path: Path) -> Check:
    detail = check.detail
    for place in (*(folder / name for name in packed.lone_file(path)), folder):
        detail = detail.replace(str(place), str(path))
    return dataclasses.replace(check, detail=detail)


def _described(synthetic: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(synthetic.items()))


def _notes(metadata: Metadata | None, opened: Source) -> tuple[str, ...]:
    if metadata is None:
        return ("nasexport did not write it: what it should be was said by the user",)
    notes = []
    made_from = metadata.source
    if made_from.files != opened.files:
        notes.append("compared with another file than it was made from; only the values decide")
    if made_from.synthetic:
        notes.append(
            f"made from a synthetic checkpoint ({_described(made_from.synthetic)}), not from published weights"
        )
    return tuple(notes)
