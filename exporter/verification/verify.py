"""Verifies artifacts: reference and artifact each in a process of its own, compared check by check."""

import contextlib
import dataclasses
import shutil
import tempfile
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.artifact import folder as artifact
from exporter.artifact import packed
from exporter.checkpoint.source import Source
from exporter.errors import ArtifactError, ConfigError, WorkerError
from exporter.fetch.published import opened
from exporter.files.arrays import Arrays, LazyArrays
from exporter.models.config import TASKS, ModelConfig, Task, largest_task, models
from exporter.models.formats import DEFAULT_MOMENTUM, FIRST_MOMENTUM_VERSION, FIRST_SERVING_VERSION, TRAINING_DECAY
from exporter.models.variables import variables
from exporter.processes import run
from exporter.progress import SILENT, Listener, Say
from exporter.reference import keras_network
from exporter.reference import recorded as references
from exporter.settings import Settings
from exporter.verification import compare
from exporter.verification.results import Check, Expected, Report


@dataclass(frozen=True)
class Choices:
    """How to verify.

    ``model`` and ``version`` say what an artifact is that nasexport did not write. ``against`` names other
    implementations, of `exporter.reference.jobs.KINDS`. ``reference`` is a recorded one to use. ``time_limit`` is how long
    each process may take, in seconds. ``measure`` is whether a `Report` is to have ``measured``, which reads all end
    points once more.
    """

    model: ModelConfig | None = None
    version: int | None = None
    against: tuple[str, ...] = ()
    reference: Path | None = None
    time_limit: float = 1800.0
    measure: bool = False


@dataclass(frozen=True)
class _Probed:
    """What an artifact does: where the arrays of `exporter.probe.saved_model` are, and its result; ``content`` is its files'."""

    content: str
    output: Path
    result: dict[str, Any]


class Verifier:
    """Verifies artifacts of one checkpoint, with one reference.

    Use it as a context manager: what is computed lives in a temporary folder, and its processes share one import.
    """

    def __init__(
        self,
        config: ModelConfig,
        source: Source,
        task: Task,
        settings: Settings = Settings(),
        choices: Choices = Choices(),
        *,
        scratch: Path | None = None,
        debug: bool = False,
    ):
        """A verifier that writes what is computed below ``scratch``, by default where temporary files go.

        Args:
            task: "classification" where any artifact to come is one.
        """
        self._config, self._source, self._task, self._debug = config, source, task, debug
        self._settings, self._choices = settings, choices
        self._reference: Arrays | None = None
        self._others: dict[str, Arrays] = {}
        self._notes: tuple[str, ...] = ()
        self._folder = tempfile.TemporaryDirectory(prefix="nasexport-", dir=scratch)
        self._held = contextlib.ExitStack()
        self._held.callback(self._folder.cleanup)
        self._peaks: dict[str, int] = {}
        #: The last artifact of each task and version.
        self._kept: dict[tuple[Task, int], _Probed] = {}

    def __enter__(self) -> "Verifier":
        self._held.enter_context(run.imported_once())
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def peaks(self) -> dict[str, int]:
        """The largest resident set that each job's processes had so far, in bytes."""
        return dict(self._peaks)

    def prepare(self, report: Say = lambda _: None) -> None:
        """Gets the reference: a recorded one, one computed from the checkpoint, or both where the first is not whole.

        Raises:
            ArtifactError: the recorded one is damaged, or another model's.
            ConfigError: another implementation was asked for that does not exist.
            CheckpointError: the checkpoint is not that of the model.
        """
        if self._reference is not None:
            return
        recorded: dict[str, Any] = {}
        if path := self._choices.reference or references.find(self._source.files, self._settings):
            recorded, facts = references.load(path, self._config.name)
            if facts.get("files") != self._source.files:
                raise ArtifactError(f"{path} was recorded from other files than those of the checkpoint")
            self._notes = (f"compared with a recorded reference ({facts['recorded_with']})",)
        if references.is_whole(recorded):
            self._reference = recorded
        else:
            computed = self._computed("reference", {"task": self._task}, report)
            # What the original network gave counts for more than what ours gives.
            self._reference = ChainMap(recorded, computed)  # type: ignore[arg-type]
        for kind in self._choices.against:
            if kind == "keras" and self._config.name not in keras_network.MODELS:
                raise ConfigError(f"Keras Applications has no {self._config.name}: compare it with --against numpy")
            self._others[kind] = self._computed("independent", {"kind": kind}, report)

    def verify(self, path: Path, expected: Expected, report: Say = lambda _: None) -> Report:
        """Checks the artifact in ``path``; failures are collected in the report, a crash of its process is one of them.

        After `prepare`, several threads may verify at the same time, though not artifacts of one task and version.
        What was verified before spares what comes after it some of the work: see `exporter.probe.reuse`.

        Raises:
            NasexportError: as `prepare` does.
        """
        self.prepare(report)
        assert self._reference is not None
        try:
            probed = self._probed(path, expected, report)
        except (ArtifactError, WorkerError) as error:
            return Report(str(path), (Check("loads and runs", float("nan"), 0, str(error)),), self._notes)
        output, result, reference = probed.output, probed.result, self._reference
        specs = variables(expected.config, expected.task)
        prefix = compare.variables_prefix(output, specs)
        found = LazyArrays(output, prefix)
        checks = compare.compare(expected, reference, found, result["findings"])
        for kind, arrays in self._others.items():
            checks += compare.against(kind, expected, arrays, found)
        notes = (*self._notes, f"its variables' names begin with {prefix!r}") if prefix else self._notes
        measured = None
        if self._choices.measure:
            measured = compare.measured(expected, reference, found)
            measured |= {"tensorflow": result["tensorflow"], "source": self._source.provenance()}
        return Report(str(path), tuple(checks), notes, measured)

    def _probed(self, path: Path, expected: Expected, report: Say) -> "_Probed":
        """What the artifact does; equal files, and equal networks, run once where they follow each other."""
        content, earlier = artifact.content(path), list(self._kept.values())
        if same := next((probed for probed in earlier if probed.content == content), None):
            report("loading the artifact")
            report("not running the artifact: the same files ran before")
            return same
        output = Path(tempfile.mkdtemp(dir=self._folder.name)) / "found"
        request = {
            "path": str(path),
            "image_size": expected.config.image_size,
            "output": str(output),
            "earlier": {str(probed.output): probed.result["network"] for probed in earlier if probed.result["network"]},
        }
        probed = _Probed(content, output, self._run("probe", request, report))
        if replaced := self._kept.pop((expected.task, expected.version), None):
            shutil.rmtree(replaced.output.parent)
        self._kept[expected.task, expected.version] = probed
        return probed

    def _computed(self, job: str, request: dict[str, Any], report: Say) -> Arrays:
        output = Path(self._folder.name) / f"{job}-{request.get('kind', '')}"
        common = {"config": self._config.to_dict(), "prefix": str(self._source.prefix), "output": str(output)}
        self._run(job, {**common, **request}, report)
        return LazyArrays(output)

    def _run(self, job: str, request: dict[str, Any], report: Say) -> dict[str, Any]:
        limit, scratch = self._choices.time_limit, self._folder.name
        result = run.run(job, request, report, self._debug, time_limit=limit, scratch=scratch)
        self._peaks[job] = max(result["peak_memory"], self._peaks.get(job, 0))
        return result


def expected_of(path: Path, choices: Choices = Choices()) -> tuple[Expected, dict[str, Any] | None]:
    """What an artifact must be, and its metadata, from the ``nasexport.json`` beside it or from the user.

    Raises:
        ArtifactError: there is no artifact, or nothing says what it should be.
        ConfigError: the model has no such version.
    """
    artifact.require_saved_model(path)
    metadata = artifact.read_metadata(path)
    if choices.model is not None:
        return _foreign(path, choices.model, choices.version), metadata
    if metadata is None:
        raise ArtifactError(
            f"{path} has no {artifact.METADATA_FILE}, so nasexport did not write it: say with --model what it should be"
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


def require_checkpoint(path: Path, metadata: dict[str, Any] | None, checkpoint: Path | None) -> None:
    """Raises ArtifactError where an artifact is to be compared with the published weights, and has made-up ones."""
    synthetic = metadata and metadata["source"].get("synthetic")
    if checkpoint is None and synthetic:
        raise ArtifactError(
            f"{path} was made from a synthetic checkpoint ({_described(synthetic)}):\n"
            f"pass that with --checkpoint; the published weights cannot verify it"
        )


def _foreign(path: Path, config: ModelConfig, version: int | None) -> Expected:
    """What an artifact of unknown origin must be: its version and task are what its files look like."""
    facts = run.run("inspect", {"path": str(path)})
    names = {variable["name"] for variable in facts["variables"]["list"]}
    task: Task = "classification" if any("final_layer/FC" in name for name in names) else "feature_vector"
    if version is None:
        signatures = {name for named in facts["signatures"].values() for name in named}
        if facts["format"] == "hub":
            version = FIRST_MOMENTUM_VERSION if any("bn_hparams" in name for name in signatures) else 1
        else:
            version = FIRST_SERVING_VERSION if "serving_default" in signatures else 4
    if config.versions.get(version) != facts["format"]:
        have = ", ".join(f"{number} ({name})" for number, name in sorted(config.versions.items()))
        raise ConfigError(f"{path} is of format {facts['format']}, and {config.name} has versions {have}")
    momentum = DEFAULT_MOMENTUM if version >= FIRST_MOMENTUM_VERSION else TRAINING_DECAY
    return Expected(config, task, version, momentum, ordered=False)


def verify(
    paths: Sequence[Path],
    checkpoint: Path | None = None,
    settings: Settings = Settings(),
    choices: Choices = Choices(),
    *,
    listener: Listener = SILENT,
    debug: bool = False,
) -> list[Report]:
    """Checks artifacts against a checkpoint, or against the published archive.

    Raises:
        ArtifactError: one of ``paths`` is no artifact, or was made from a synthetic checkpoint and none is given.
        CheckpointError, FetchError: the checkpoint cannot be had, or is not the model's.
    """
    with contextlib.ExitStack() as stack:
        folders = {path: stack.enter_context(packed.opened(path)) for path in paths}
        return _verify(folders, checkpoint, settings, choices, listener, debug)


def _verify(
    folders: Mapping[Path, Path],
    checkpoint: Path | None,
    settings: Settings,
    choices: Choices,
    listener: Listener,
    debug: bool,
) -> list[Report]:
    """Verifies artifacts in ``folders``, by the paths that the user knows them by."""
    wanted = {path: expected_of(folder, choices) for path, folder in folders.items()}
    reports: dict[Path, Report] = {}
    for name in dict.fromkeys(expected.config.name for expected, _ in wanted.values()):
        group = {path: pair for path, pair in wanted.items() if pair[0].config.name == name}
        config = next(iter(group.values()))[0].config
        for path, (_, metadata) in group.items():
            require_checkpoint(path, metadata, checkpoint)
        task = largest_task({expected.task for expected, _ in group.values()})
        with (
            opened(config, checkpoint, settings, listener) as found,
            Verifier(config, found, task, settings, choices, debug=debug) as verifier,
        ):
            for path, (expected, metadata) in group.items():
                checked = verifier.verify(folders[path], expected, listener.step)
                notes = (*checked.notes, *_notes(metadata, found))
                reports[path] = dataclasses.replace(checked, path=str(path), notes=notes)
    return [reports[path] for path in folders]


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
    with opened(config, checkpoint, settings, listener) as found, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference"
        request = {"config": config.to_dict(), "task": "classification", "prefix": str(found.prefix)}
        result = run.run("reference", {**request, "output": str(path)}, listener.step, debug)
        arrays = references.condense(LazyArrays(path))
        facts = {
            "model": config.name,
            "recorded_with": f"nasexport's TF-Slim graph under TensorFlow {result['tensorflow']}",
            "files": found.files,
            "synthetic": result["synthetic"],
        }
        target = output or settings.cache / "references" / f"{references.key(found.files)}.npz"
        references.save(target, arrays, facts)
    return target


def _described(synthetic: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(synthetic.items()))


def _notes(metadata: dict[str, Any] | None, opened: Source) -> tuple[str, ...]:
    if metadata is None:
        return ("nasexport did not write it: what it should be was said by the user",)
    notes = []
    made_from = metadata["source"]
    if made_from.get("files") != opened.files:
        notes.append("compared with another file than it was made from; only the values decide")
    if made_from.get("synthetic"):
        notes.append(
            f"made from a synthetic checkpoint ({_described(made_from['synthetic'])}), not from published weights"
        )
    return tuple(notes)
