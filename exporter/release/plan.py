"""The artifacts that a release shall have, and the state of each in its folder."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.source import Source
from exporter.errors import USAGE, ConfigError, ReleaseError
from exporter.files.hashing import File, sha256
from exporter.models import variables
from exporter.models.config import TASKS, ModelConfig, Task, handle, listed, short_name
from exporter.models.formats import FORMATS, Format, Version, in_order, require_extra, written
from exporter.release import claims, derived, identity, names
from exporter.release.manifest import Place, Record, read_record
from exporter.settings import Settings

#: "unknown": the artifact exists, but without its checkpoint nothing can say whether it is up to date.
State = Literal["done", "missing", "stale", "damaged", "unknown"]


@dataclass(frozen=True)
class Target:
    """One artifact to release."""

    config: ModelConfig
    task: Task
    version: Version

    @property
    def place(self) -> Place:
        return Place(handle(self.config, self.task, self.version))

    @property
    def name(self) -> str:
        return short_name(self.config.name, self.task, self.version)

    @property
    def format(self) -> Format:
        return self.config.all_versions[self.version]

    @property
    def options(self) -> ArtifactOptions:
        """Those of the published artifact."""
        return ArtifactOptions(self.config.version_spec(self.version).momentum)

    @property
    def group(self) -> tuple[str, Format, Task]:
        """Targets of the same group share graphs."""
        return self.config.name, self.format, self.task


@dataclass(frozen=True)
class Planned:
    """A target and its state.

    ``inputs`` and ``identity`` are None where the checkpoint is not available; ``reason`` says why it must be made.
    """

    target: Target
    state: State
    reason: str = ""
    inputs: dict[str, Any] | None = field(default=None, repr=False)
    record: Record | None = field(default=None, repr=False)

    @property
    def identity(self) -> str | None:
        return identity.identity(self.inputs) if self.inputs else None

    def to_dict(self) -> dict[str, Any]:
        target = self.target
        return {
            "handle": target.place.handle,
            "model": target.config.name,
            "task": target.task,
            "version": target.version,
            "format": target.format,
            "state": self.state,
            "reason": self.reason,
            "identity": self.identity,
        }


def all_formats(configs: Iterable[ModelConfig]) -> list[Format]:
    """The formats that any of these models has: what "all" stands for."""
    had = {name for config in configs for name in config.all_versions.values()}
    return [name for name in written() if name in had]


def targets(
    configs: Iterable[ModelConfig],
    versions: Collection[Version] | None = None,
    formats: Collection[Format] | None = None,
) -> list[Target]:
    """The artifacts of these models that are of the given versions and formats.

    Without both, these are the published ones: nothing was ever published in the formats without version numbers.

    Raises:
        ConfigError: none of the models has one of the versions, or one of the formats.
        MachineError: a package is missing that one of the formats needs.
    """
    configs = list(configs)
    if formats is None:
        formats = [name for name, spec in FORMATS.items() if versions or spec.numbered]
        named: Collection[Format] = ()
    else:
        named = formats
    for version in in_order(versions or ()):
        if not any(config.all_versions.get(version) in formats for config in configs):
            what = f"a version {version}" + (f" in the format {' or '.join(named)}" if named else "")
            raise ConfigError(f"no model that is to be released has {what}: {_have(configs)}", status=USAGE)
    for name in named:
        if not any(name in config.all_versions.values() for config in configs):
            raise ConfigError(f"no model that is to be released has the format {name}: {_have(configs)}", status=USAGE)
    found = [
        Target(config, task, version)
        for config in configs
        for task in TASKS
        for version, name in config.all_versions.items()
        if name in formats and (versions is None or version in versions)
    ]
    for name in dict.fromkeys(target.format for target in found):
        require_extra(FORMATS[name], running=True)
    return found


def _have(configs: Iterable[ModelConfig]) -> str:
    return "; ".join(f"{config.name} has {listed(config.all_versions)}" for config in configs)


def shard(all_targets: Sequence[Target], number: int, count: int) -> list[Target]:
    """Part ``number`` of ``count``, from 1 on. Each is about the same work; targets that share graphs stay together.

    The parts are disjoint and cover all targets; some are empty where there are more parts than groups.
    """
    groups: dict[tuple[str, Format, Task], list[Target]] = {}
    for target in all_targets:
        groups.setdefault(target.group, []).append(target)
    loads = [0] * count
    chosen: list[Target] = []
    for members in sorted(groups.values(), key=lambda members: (-_work(members), members[0].group)):
        lightest = loads.index(min(loads))
        loads[lightest] += _work(members)
        if lightest == number - 1:
            chosen += members
    return [target for target in all_targets if target in chosen]


def _work(members: Sequence[Target]) -> int:
    return len(members) * variables.parameters(members[0].config, members[0].task)


def planned(target: Target, release: Path, source: Source | None, settings: Settings) -> Planned:
    """The state of a target in the folder of a release; the hashes of its files are checked.

    Args:
        source: the checkpoint, None where it is not available.
    """
    inputs = None
    if source:
        options = (target.config, target.task, target.version, target.options)
        inputs = identity.inputs(*options, source, settings)
    try:
        record = read_record(release, target.place)
    except ReleaseError as error:
        return Planned(target, "damaged", str(error), inputs)
    if record is None:
        return Planned(target, "missing", "", inputs)
    if inputs is not None and identity.identity(inputs) != record.identity:
        return Planned(target, "stale", _changes(record.inputs, inputs), inputs)
    if problem := next(_wrong(release, record), None):
        return Planned(target, "damaged", problem, inputs)
    if inputs is None:
        return Planned(target, "unknown", "its checkpoint is not available", None, record)
    return Planned(target, "done", "", inputs, record)


def _wrong(release: Path, record: Record) -> Iterator[str]:
    """Where a record contradicts itself, and where its files are damaged, or are not what it gives."""
    yield from claims.problems(record)
    yield from problems(release, record)
    if claims.inputs_of(record).is_of_this_code:
        yield from derived.metadata_problems(release, record)
        yield from derived.page_problems(release, record)


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return f"other {', other '.join(changed)}" if changed else "its identity is not the hash of its inputs"


def problems(release: Path, record: Record, *, read: bool = True) -> Iterator[str]:
    """What is wrong with the files of an artifact: missing files, unexpected files, links, wrong sizes and hashes.

    Args:
        read: whether to hash the files; without it, only names and sizes are checked.

    Raises:
        ReleaseError: its folder cannot be read.
    """
    yield from names.artifact_problems(release, record)
    yield from damages(release, record, read=read)


def damages(release: Path, record: Record, *, read: bool = True) -> Iterator[str]:
    """The same without names: the listed files that are missing, or have another size or hash."""
    with ThreadPoolExecutor(2) as threads:
        yield from filter(
            None, threads.map(_problem, itertools.repeat(release), record.all_files, itertools.repeat(read))
        )


def _problem(release: Path, file: File, read: bool) -> str:
    path = release / file.path
    if path.is_symlink():
        return f"{file.path} is a link, expected a file"
    if not path.is_file():
        return f"{file.path} is missing"
    if path.stat().st_size != file.size:
        return f"{file.path} has {path.stat().st_size:,} bytes, not {file.size:,}"
    found = sha256(path) if read else file.sha256
    return "" if found == file.sha256 else f"{file.path} has sha256 {found}, not {file.sha256}"


def matrix(plan: Iterable[Planned]) -> dict[str, Any]:
    """What has to be made, as the ``strategy.matrix`` of a GitHub Actions workflow: a job for each model and format."""
    jobs: dict[tuple[str, Format], set[Version]] = {}
    for planned in plan:
        if planned.state != "done":
            jobs.setdefault((planned.target.config.name, planned.target.format), set()).add(planned.target.version)
    return {
        "include": [
            {"name": f"{model}-{format_}", "models": model, "versions": ",".join(map(str, in_order(versions)))}
            for (model, format_), versions in jobs.items()
        ]
    }
