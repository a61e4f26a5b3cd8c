"""An artifact on disk: where it goes, how it gets there whole or not at all, and what its files are."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import NOT_DONE, ArtifactError
from exporter.files import staging
from exporter.files.hashing import sha256
from exporter.models import formats
from exporter.models.config import ModelConfig, Task, handle
from exporter.models.formats import FORMATS, FormatSpec, Version


def destination(output: Path, config: ModelConfig, task: Task, version: Version) -> Path:
    return output / handle(config, task, version)


def require_free(path: Path, overwrite: bool) -> None:
    """Refuses a destination that is taken.

    Raises:
        ArtifactError: it exists and ``overwrite`` is not set, or it is no folder that an artifact could replace.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ArtifactError(f"{path} is not a folder: move it away, or choose another --output", status=NOT_DONE)
    if path.exists() and not overwrite:
        problem = f"{path} exists already: pass --overwrite to replace it, or choose another --output"
        raise ArtifactError(problem, status=NOT_DONE)


@contextlib.contextmanager
def staged(target: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside ``target`` to write an artifact into; it takes its place when the ``with`` block ends well.

    When the block fails, everything that was written, and every folder that was made for it, is removed. What a killed
    process left behind is cleared away by the next one that writes the same artifact.

    Raises:
        ArtifactError: ``target`` is taken (see `require_free`), another process is writing it, or the folder cannot be
            made.
    """
    with alone(target), placed(target, overwrite) as folder:
        yield folder


@contextlib.contextmanager
def placed(target: Path, overwrite: bool) -> Iterator[Path]:
    """What `staged` gives, to one who is `alone` with ``target``."""
    require_free(target, overwrite)
    with staging.replacing_folder(target) as folder:
        yield folder
        require_free(target, overwrite)


@contextlib.contextmanager
def compared(target: Path) -> Iterator[Path]:
    """A folder to write an artifact into that is only held against ``target``, and removed after the block.

    Raises:
        ArtifactError: it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        with writing(target):
            beside = stack.enter_context(staging.folder_beside(target))
        yield beside / target.name


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """Keeps other processes from writing ``target`` in the ``with`` block, and ends what a killed one had begun.

    The folders above it are made, and removed again where nothing is in them afterwards.

    Raises:
        ArtifactError: ``target`` is no folder, another process is writing it, or nothing can be written beside it.
    """
    require_free(target, overwrite=True)
    made = _make_parents(target)
    lock_file = target.with_name(f".{target.name}.lock")
    taken = f"another nasexport is writing {target}: wait for it, or choose another --output"
    try:
        with staging.held(lock_file, ArtifactError, taken):
            with writing(target):
                staging.finish_replacement(target)
            yield
    finally:
        for parent in reversed(made):
            with contextlib.suppress(OSError):
                parent.rmdir()  # stays where something is in it


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Within it, an OSError is one of writing ``target``, and raised as an ArtifactError that says so."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"cannot write {target}: {error.strerror or error}") from error


def _make_parents(target: Path) -> list[Path]:
    missing = [folder for folder in reversed(target.parents) if not folder.exists()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot make the folder {target.parent}: {error.strerror}") from error
    return missing


def content(folder: Path) -> str:
    """The sha256 of the files that decide what an artifact does, and of their names; not of what it says of itself."""
    files = [folder / name for name in formats.file_names()]
    files += [file for name in formats.folder_names() for file in (folder / name).glob("*")]
    text = "".join(f"{file.name} {sha256(file)}\n" for file in sorted(files) if file.is_file())
    return hashlib.sha256(text.encode()).hexdigest()


def format_of(folder: Path, has_objects: bool | None = None) -> FormatSpec | None:
    """The format of the artifact in a folder, by the names of its files; None where there is no artifact.

    Args:
        has_objects: whether its SavedModel has an object graph, for those who have read it. For others a TF1 SavedModel
            is one of TF2: what probes and loads one takes the other.
    """
    for spec in FORMATS.values():
        fits = has_objects is None or spec.has_objects in (None, has_objects)
        if fits and all((folder / name).is_file() for name in spec.files):
            return spec
    return None


def require_readable(folder: Path, running: bool = False) -> FormatSpec:
    """The same as `require_artifact`, of a format that the installed packages read, and run where it is to be run.

    Raises:
        ArtifactError: there is no artifact.
        MachineError: a package is missing that reads it.
    """
    spec = require_artifact(folder)
    formats.require_extra(spec, running)
    return spec


def require_artifact(folder: Path) -> FormatSpec:
    """The format of the artifact in ``folder``, as its files' names tell it.

    Raises:
        ArtifactError: there is no artifact.
    """
    if not folder.exists():
        problem = f"there is nothing at {folder}: expected the folder of an artifact, or its .tar.gz"
        raise ArtifactError(problem, status=NOT_DONE)
    spec = format_of(folder)
    if spec is None:
        expected = "expected the folder of an artifact (…/<version>)"
        raise ArtifactError(f"{folder} holds no {formats.model_files()}: {expected}")
    return spec
