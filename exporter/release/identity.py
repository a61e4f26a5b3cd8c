"""What the bytes of a released artifact depend on, and the hash of it that tells whether one is still right."""

import ast
import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exporter
from exporter.checkpoint.source import Source
from exporter.errors import NasexportError
from exporter.models.config import ModelConfig, Task
from exporter.reference import recorded as references
from exporter.resources import resource
from exporter.settings import Settings

#: Where the code begins that an artifact, its verification and its pages come out of.
_ROOTS = (
    "exporter.artifact.export",
    "exporter.reference.computed",
    "exporter.probe.saved_model",
    "exporter.verification.compare",
    "exporter.files.packing",
    "exporter.report.page",
    "exporter.release.model_page",
    "exporter.release.artifact",
)
#: Fetching brings a checkpoint, whose hash counts, not how it came.
_PASSED_OVER = {"exporter.fetch.published"}
#: Packages that have a say in what is written.
_PACKAGES = ("tensorflow", "tensorflow-hub", "tf-slim", "tf-keras", "numpy", "protobuf", "jinja2", "markdown-it-py")
_PACKAGE_FOLDER = Path(exporter.__file__).parent


def inputs(
    config: ModelConfig, task: Task, version: int, momentum: float, source: Source, settings: Settings
) -> dict[str, Any]:
    """All that decides what an artifact, its report and its page look like, as JSON values; never a path or a time."""
    recorded = references.find(source.files, settings)
    return {
        "nasexport": exporter.__version__,
        "code": code(),
        "packages": packages(),
        "config": config.to_dict(),
        "task": task,
        "version": version,
        "options": {"batch_norm_momentum": momentum},
        "checkpoint": source.provenance(),
        "reference": recorded and hashlib.sha256(recorded.read_bytes()).hexdigest(),
    }


def identity(facts: dict[str, Any]) -> str:
    """The sha256 of what `inputs` gives."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def packages() -> dict[str, str]:
    """The versions of the packages that have a say in what is written.

    Raises:
        NasexportError: one of them is not installed.
    """
    try:
        return {name: importlib.metadata.version(name) for name in _PACKAGES}
    except importlib.metadata.PackageNotFoundError as error:
        raise NasexportError(
            f"the package {error.name} is not installed: install nasexport with its dependencies"
        ) from error


@functools.cache
def code() -> str:
    """The sha256 of the modules that artifacts come out of, by name and content, and of the data that ships with them.

    Modules count where one of the first imports them, directly or not: a change to fetching or serving changes nothing
    that is written.
    """
    digest = hashlib.sha256()
    data = (path for path in resource("data").rglob("*") if path.is_file())
    for path in sorted([*map(_path, modules()), *data]):
        digest.update(f"{path.relative_to(_PACKAGE_FOLDER).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def modules() -> list[str]:
    """The modules that `code` hashes, by their full names."""
    found: set[str] = set()
    waiting = set(_ROOTS)
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(_imported(_path(name))) - found
    return sorted(found)


def _path(module: str) -> Path:
    return _PACKAGE_FOLDER.parent.joinpath(*module.split(".")).with_suffix(".py")


def _imported(path: Path) -> Iterator[str]:
    """The modules of this package that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("exporter."):
            names = [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name not in _PASSED_OVER and _path(name).is_file())
