"""The inputs that the bytes of a released artifact depend on. Their hash shows whether an artifact is up to date."""

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

import exporter
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.source import Source
from exporter.errors import NasexportError
from exporter.files.hashing import Sha256
from exporter.models.config import ModelConfig, Name, Task
from exporter.models.formats import FORMATS, FormatSpec, Version
from exporter.reference import recorded as references
from exporter.resources import resource
from exporter.settings import Settings
from exporter.validation import Refusal, at_least, convert

#: The folders of code that write an artifact, its verification and its pages. Fetching is left out: the hash of the
#: checkpoint is an input, how it was fetched is not.
_FOLDERS = ("models", "files", "graph", "checkpoint", "artifact", "reference", "probe", "verification", "report")
_MODULES = tuple(
    f"release/{name}.py"
    for name in ("address", "artifact", "families", "hub_card", "manifest", "model_page", "model_page_html")
)
#: Packages that influence what is written.
_PACKAGES = ("tensorflow", "tensorflow-hub", "tf-slim", "tf-keras", "numpy", "protobuf", "jinja2", "markdown-it-py")
_PACKAGE_FOLDER = Path(exporter.__file__).parent


class CheckpointFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A checkpoint by its bytes, as `exporter.checkpoint.source.Source.provenance` gives it."""

    archive: str | None
    archive_sha256: Sha256 | None
    files: dict[str, Sha256]


class Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `inputs` gives, as records have it; ``reference`` is the sha256 of the recorded reference, if any."""

    nasexport: str
    code: Sha256
    packages: dict[str, Annotated[str, msgspec.Meta(pattern=r"\A[0-9][0-9A-Za-z.+!-]*\Z", description="a version")]]
    config: ModelConfig
    task: Task
    version: Annotated[int, at_least(0)] | Name
    options: ArtifactOptions
    checkpoint: CheckpointFiles
    reference: Sha256 | None

    @classmethod
    def of(cls, facts: dict[str, Any], refusal: Refusal) -> "Inputs":
        """Those of a record; raises the error of ``refusal`` where they are not what `inputs` gives."""
        found = convert(facts, cls, refusal)
        name = found.config.all_versions.get(found.version)
        own = (*FORMATS[name].packages, *FORMATS[name].running_packages) if name else ()
        wanted = {*_PACKAGES, *own}
        if set(found.packages) != wanted:
            raise refusal(f"packages has {', '.join(sorted(found.packages))}, expected {', '.join(sorted(wanted))}")
        return found

    @property
    def is_of_this_code(self) -> bool:
        """Whether this nasexport would write the same, page by page."""
        return (self.nasexport, self.code) == (exporter.__version__, code())


def inputs(
    config: ModelConfig, task: Task, version: Version, options: ArtifactOptions, source: Source, settings: Settings
) -> dict[str, Any]:
    """All inputs of an artifact, its report and its page, as JSON values; no path and no time is among them."""
    recorded = references.find(source.files, settings)
    return {
        "nasexport": exporter.__version__,
        "code": code(),
        "packages": packages(config.format_spec(version)),
        "config": as_json(config),
        "task": task,
        "version": version,
        "options": as_json(options),
        "checkpoint": source.provenance(),
        "reference": recorded and hashlib.sha256(recorded.read_bytes()).hexdigest(),
    }


def as_json(value: Any) -> Any:
    """A typed value as reading it from JSON would give it: numbers as keys are text there, and sorted as such."""
    return msgspec.json.decode(msgspec.json.encode(value))


def shipped_reference(files: Mapping[str, str]) -> str | None:
    """The sha256 of the recorded reference that ships for a checkpoint with these files, if one does."""
    path = references.shipped(files)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else None


def identity(facts: dict[str, Any]) -> str:
    """The sha256 of what `inputs` gives."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def packages(spec: FormatSpec) -> dict[str, str]:
    """The versions of the packages that influence what is written in a format.

    Raises:
        NasexportError: one of them is not installed.
    """
    try:
        return {name: importlib.metadata.version(name) for name in (*_PACKAGES, *spec.packages, *spec.running_packages)}
    except importlib.metadata.PackageNotFoundError as error:
        raise NasexportError(
            f"the package {error.name} is not installed: install nasexport with its dependencies"
        ) from error


@functools.cache
def code() -> str:
    """The sha256 of `files`, by name and content."""
    digest = hashlib.sha256()
    for path in files():
        digest.update(f"{path.relative_to(_PACKAGE_FOLDER).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def files() -> list[Path]:
    """The code and data of the package that artifacts depend on; fetching and serving are not among them.

    Data beside the package in the checkout, such as configurations, is part of `inputs` where it is used.
    """
    code = (path for folder in _FOLDERS for path in (_PACKAGE_FOLDER / folder).rglob("*.py"))
    # A module among the data is compiled where something imports it, or by pip: the version of Python would count.
    data = (path for path in resource("data").rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sorted([*code, *(_PACKAGE_FOLDER / module for module in _MODULES), *data])
