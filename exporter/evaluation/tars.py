"""Tar files of pictures, as WebDataset writes data sets: which members are pictures, where, and with what labels.

A picture and what belongs to it come one after the other, with one name to the first dot: ``001.jpg``, ``001.cls``.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from exporter.errors import EvaluationError
from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.opening import NoFileError, opened

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
#: The size of the header before each member.
HEADER = tarfile.BLOCKSIZE
_LABEL = ".cls"
#: A label is a number or a wnid.
_LONGEST_LABEL = 64


class Member(NamedTuple):
    """A picture in a tar file: its name there, where its header begins, and the text of its label, None without one."""

    name: str
    offset: int
    label: str | None


def members(path: Path) -> Iterator[Member]:
    """The pictures in a tar file, in its order; only headers and labels are read.

    Raises:
        EvaluationError: it cannot be read, is compressed, is no whole tar file, or has two pictures of one name.
    """
    if not path.name.lower().endswith(TAR_SUFFIXES[0]):
        raise EvaluationError(f"{path} is compressed (compressed ones are not read): expected a .tar")
    try:
        with opened(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            yield from _pictures(archive, path)
    except NoFileError as error:
        raise EvaluationError(f"{path} {error}: expected a tar file") from error
    except OSError as error:
        raise EvaluationError(f"cannot read {path}: {error.strerror or error}") from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise EvaluationError(f"{path} is no whole tar file: {' '.join(str(error).split())[:100]}") from error


def _pictures(archive: tarfile.TarFile, path: Path) -> Iterator[Member]:
    key: str | None = None
    picture: Member | None = None
    label: str | None = None
    for info in archive:
        archive.members = []  # type: ignore[attr-defined]  # it would keep all that it has seen
        if not info.isreg() or info.sparse is not None:
            continue
        name = PurePosixPath(info.name)
        if name.name.startswith("."):
            continue
        stem, dot, ending = name.name.partition(".")
        if (here := str(name.with_name(stem))) != key:
            if picture:
                yield picture._replace(label=label)
            key, picture, label = here, None, None
        ending = (dot + ending).lower()
        if ending in SUFFIXES:
            if picture:
                raise EvaluationError(f"{path} has two pictures of one name, {picture.name} and {info.name}")
            picture = Member(info.name, info.offset_data - HEADER, None)
        elif ending == _LABEL:
            content = archive.extractfile(info)
            label = content.read(_LONGEST_LABEL).decode("utf-8", "replace").strip() if content else None
    if picture:
        yield picture._replace(label=label)


def size_in(header: bytes) -> int | None:
    """The size of a member in bytes, from its header; None where that is none."""
    try:
        return tarfile.TarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape").size
    except tarfile.HeaderError:
        return None
