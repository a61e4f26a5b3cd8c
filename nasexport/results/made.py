"""What was written: artifacts and releases."""

from dataclasses import dataclass
from pathlib import Path

from exporter.models.config import Task
from exporter.models.formats import Format, Version
from nasexport import _html
from nasexport.results import checks
from nasexport.results.checks import Check
from nasexport.results.sequence import SequenceOf


@dataclass(frozen=True, repr=False)
class Artifact:
    """An artifact that `nasexport.build` wrote, or kept.

    Attributes:
        path: its folder.
        handle: the name it is known by, such as ``google/imagenet/nasnet_large/classification/4``.
        version: its number, or the name of a format without version numbers.
        verified: whether it was verified, now or when it was built.
        kept: whether it was there already, the same as would have been written.
        synthetic: whether its weights are made up.
        checks: those of the verification that was done now; empty where none was.
    """

    path: Path
    handle: str
    model: str
    task: Task
    version: Version
    format: Format
    verified: bool
    kept: bool
    synthetic: bool
    checks: tuple[Check, ...] = ()

    @property
    def state(self) -> str:
        """What became of it, in words."""
        done = "kept" if self.kept else "written"
        verified = checks.text(self.checks) if self.checks else "verified before" if self.verified else "NOT verified"
        return f"{done}, {verified}" + (", SYNTHETIC weights" if self.synthetic else "")

    def __repr__(self) -> str:
        return f"<Artifact {self.handle} at {str(self.path)!r}: {self.state}>"

    def _repr_html_(self) -> str:
        return checks.table(f"{self.handle}: {self.state}", self.checks)


@dataclass(frozen=True, repr=False)
class BuildResult(SequenceOf[Artifact]):
    """The artifacts that `nasexport.build` made of one model, in the order of their tasks; a sequence of them."""

    artifacts: tuple[Artifact, ...]

    @property
    def _items(self) -> tuple[Artifact, ...]:
        return self.artifacts

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folders of the artifacts."""
        return tuple(artifact.path for artifact in self.artifacts)

    def __repr__(self) -> str:
        return f"<BuildResult {', '.join(f'{each.handle}: {each.state}' for each in self.artifacts)}>"

    def _repr_html_(self) -> str:
        rows = [(each.handle, each.state, each.path) for each in self.artifacts]
        return _html.table("Artifacts", ("handle", "", "folder"), rows)


@dataclass(frozen=True)
class ReleasedArtifact:
    """What became of one artifact of a release: "made" or "kept", and how many seconds it took to verify and pack."""

    handle: str
    state: str
    seconds: float


@dataclass(frozen=True, repr=False)
class ReleaseResult(SequenceOf[ReleasedArtifact]):
    """The release that `nasexport.release` made or completed: its folder, its artifacts, and how long it took."""

    path: Path
    artifacts: tuple[ReleasedArtifact, ...]
    seconds: float

    @property
    def _items(self) -> tuple[ReleasedArtifact, ...]:
        return self.artifacts

    def __repr__(self) -> str:
        states = [artifact.state for artifact in self.artifacts]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return f"<ReleaseResult {str(self.path)!r}: {counted or 'nothing to make'}, {self.seconds:.0f} s>"

    def _repr_html_(self) -> str:
        rows = [(each.handle, each.state, f"{each.seconds:.1f} s" if each.seconds else "") for each in self.artifacts]
        return _html.table(f"Release {self.path}", ("artifact", "", "time"), rows)
