"""Unpacks chosen files of a ``.tar.gz``, and refuses whatever an archive may hold to do harm."""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from exporter.errors import NasexportError
from exporter.files.hashing import CHUNK

#: The largest published archive unpacks to some 360 MB; a whole training run of that model leaves 1.5 GB.
MAX_UNPACKED_BYTES = 4 * 2**30
MAX_MEMBERS = 1000


def is_archive(path: Path) -> bool:
    return path.name.endswith((".tar.gz", ".tgz"))


@dataclass(frozen=True)
class Contents:
    """What an archive is unpacked for.

    ``wants`` tells which regular files to unpack, from their path in the archive. ``noun`` is what they make up, and
    ``expected`` what a message says should have been there. ``invalid`` is raised for an archive that is damaged or not
    such a one, ``disk_error`` where a disk fails.
    """

    noun: str
    expected: str
    wants: Callable[[PurePosixPath], bool]
    invalid: type[NasexportError]
    disk_error: type[NasexportError]


def unpack(archive: Path, folder: Path, contents: Contents) -> dict[str, str]:
    """Unpacks the files of ``archive`` that ``contents`` wants into the existing ``folder``, in their subfolders.

    Other regular files are skipped. Nothing is ever written outside of ``folder``.

    Returns:
        The sha256 of every regular file in the archive, by its path there.

    Raises:
        NasexportError: ``contents.invalid`` where the archive is damaged or truncated, holds nothing that is wanted,
            or holds what no published archive does: a link, a device, a sparse file, a path that leaves the folder, too
            many or too large members. ``contents.disk_error`` where it cannot be read, or ``folder`` not be written.
    """
    hashes = _read(archive, folder, contents)
    if not any(contents.wants(PurePosixPath(path)) for path in hashes):
        raise contents.invalid(f"{archive} holds no {contents.noun}: expected {contents.expected} in it")
    return hashes


def hashes(archive: Path, contents: Contents) -> dict[str, str]:
    """The sha256 of every regular file in the archive, by its path there; nothing is written.

    Raises:
        NasexportError: as `unpack` does.
    """
    return _read(archive, None, contents)


def _read(archive: Path, folder: Path | None, contents: Contents) -> dict[str, str]:
    hashes: dict[str, str] = {}
    try:
        with gzip.open(archive) as content, tarfile.open(fileobj=content, mode="r|") as members:
            total = 0
            for count, member in enumerate(members, 1):
                total += member.size
                _refuse_hostile(archive, contents, member, count)
                _refuse_excess(archive, contents, total)
                if not member.isreg():
                    continue
                path = PurePosixPath(member.name)
                if folder and contents.wants(path):
                    target = folder.joinpath(*path.parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with open(target, "xb") as file:
                        hashes[str(path)] = _copy(members.extractfile(member), file, member.size)
                else:
                    hashes[str(path)] = _copy(members.extractfile(member), None, member.size)
            # A tar file ends before its gzip file does; the checksum of all that was read comes last.
            while content.read(CHUNK):
                total += CHUNK
                _refuse_excess(archive, contents, total)
    except FileExistsError as error:
        raise contents.invalid(
            f"{archive} holds {Path(error.filename).name} twice: this is no published archive"
        ) from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise contents.disk_error(
                f"cannot unpack {archive}{f' to {folder}' if folder else ''}: {error.strerror}"
            ) from error
        raise contents.invalid(
            f"{archive} is not a whole .tar.gz archive ({error}): it is damaged or cut short, get it again"
        ) from error
    return hashes


def _refuse_hostile(archive: Path, contents: Contents, member: tarfile.TarInfo, count: int) -> None:
    path = PurePosixPath(member.name)
    problem = None
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name:
        problem = f"has a member with the path {member.name!r}, which leads out of its folder"
    elif not (member.isreg() or member.isdir()):
        problem = f"has {member.name!r}, which is a link or a device"
    elif member.issparse():
        problem = f"has {member.name!r}, a sparse file of {member.size:,} bytes"
    elif count > MAX_MEMBERS:
        problem = f"has more than {MAX_MEMBERS} members"
    if problem:
        raise contents.invalid(
            f"{archive} {problem}: an archive of one {contents.noun} has plain files only; nothing was unpacked"
        )


def _refuse_excess(archive: Path, contents: Contents, total: int) -> None:
    if total > MAX_UNPACKED_BYTES:
        raise contents.invalid(
            f"{archive} unpacks to more than {MAX_UNPACKED_BYTES // 2**30} GiB, more than any {contents.noun} archive"
        )


def _copy(content: IO[bytes] | None, target: IO[bytes] | None, size: int) -> str:
    """Copies ``size`` bytes, or only reads them; their sha256."""
    assert content is not None
    digest, left = hashlib.sha256(), size
    while left:
        chunk = content.read(min(CHUNK, left))
        if not chunk:
            raise EOFError("a member ends before its size")
        if target:
            target.write(chunk)
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
