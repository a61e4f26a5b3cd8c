"""Unpacks chosen files of an archive, and refuses whatever one may hold to do harm."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from exporter.errors import NasexportError
from exporter.files import signatures
from exporter.files.decompression import DamagedError, Decompressed, Readable
from exporter.files.hashing import CHUNK
from exporter.files.members import Member, tar_members, zip_members
from exporter.validation import shown

#: The largest published archive unpacks to some 360 MB; a whole training run of that model leaves 1.5 GB.
MAX_UNPACKED_BYTES = 4 * 2**30
MAX_MEMBERS = 1000
#: What file systems take, in bytes, for a path and each part of it.
_MAX_PATH, _MAX_PART = 1000, 255


def is_archive(path: Path) -> bool:
    """Whether a name is that of a ``.tar.gz``; what a file is, `exporter.files.signatures.archive_kind` tells."""
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


@dataclass(frozen=True)
class Unpacked:
    """What was in an archive: the sha256 of every regular file, by its path there, and that of the archive itself.

    The hash of an archive is that of the very bytes that were unpacked.
    """

    files: dict[str, str]
    sha256: str


def unpack(archive: Path, folder: Path, contents: Contents) -> Unpacked:
    """Unpacks the files of ``archive`` that ``contents`` wants into the existing ``folder``, in their subfolders.

    It may be a tar file, as such or compressed with gzip, bzip2 or xz, or a zip file, by whatever name. Other regular
    files are skipped. Nothing is ever written outside of ``folder``.

    Raises:
        NasexportError: ``contents.invalid`` where the archive is damaged or truncated, holds nothing that is wanted,
            or holds what no published archive does: a link, a device, a sparse file, a path that leaves the folder, too
            many or too large members, or far more than its size. ``contents.disk_error`` where it cannot be read, or
            ``folder`` not be written.
    """
    unpacked = _read(archive, folder, contents)
    if not any(contents.wants(PurePosixPath(path)) for path in unpacked.files):
        raise contents.invalid(
            f"{archive} holds no {contents.noun}: expected {contents.expected} in it, found {_listed(unpacked.files)}"
        )
    return unpacked


def hashes(archive: Path, contents: Contents) -> dict[str, str]:
    """The sha256 of every regular file in the archive, by its path there; nothing is written.

    Raises:
        NasexportError: as `unpack` does.
    """
    return _read(archive, None, contents).files


def _listed(names: dict[str, str]) -> str:
    """Some of what is there, for a message."""
    some = ", ".join(shown(name)[1:-1] for name in sorted(names)[:3])
    return f"{some}{f' and {len(names) - 3} more' if len(names) > 3 else ''}" if names else "no file at all"


def _read(archive: Path, folder: Path | None, contents: Contents) -> Unpacked:
    kind: str | None = None
    try:
        with open(archive, "rb") as file:
            kind = signatures.archive_kind(file)
            if kind is None:
                raise contents.invalid(
                    f"{archive} is not a whole archive: it is {signatures.described(archive)}, "
                    f"expected a .tar.gz, or another tar or zip file"
                )
            file.seek(0)
            return _read_open(archive, file, kind, folder, contents)
    except FileExistsError as error:
        raise contents.invalid(
            f"{archive} holds {Path(error.filename).name} twice: this is no published archive"
        ) from error
    except (DamagedError, EOFError) as error:
        raise contents.invalid(
            f"{archive} is not a whole {kind} archive ({' '.join(str(error).split())[:200]}): "
            f"it is damaged or cut short, get it again"
        ) from error
    except OSError as error:
        into = f" into {folder.parent}" if folder else ""
        raise contents.disk_error(f"cannot unpack {archive}{into}: {error.strerror or error}") from error


def _read_open(archive: Path, file: IO[bytes], kind: str, folder: Path | None, contents: Contents) -> Unpacked:
    found: dict[str, str] = {}
    total = 0
    hashed = _Hashed(file)
    content: Readable
    members: Iterator[Member]
    if kind == "zip":
        # Its directory comes last, so that it is not read in one go: what was hashed is read once more.
        hashed.finish()
        content, members = hashed, zip_members(file)
    else:
        content = hashed if kind == "tar" else Decompressed(hashed, kind)
        members = tar_members(content)
    for count, member in enumerate(members, 1):
        total += member.size
        _refuse_hostile(archive, contents, member, count)
        _refuse_excess(archive, contents, total)
        if member.content is None:
            continue
        path = PurePosixPath(member.name)
        if folder and contents.wants(path):
            target = folder.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "xb") as unpacked:
                found[str(path)] = _copy(member.content, unpacked, member.size)
        else:
            found[str(path)] = _copy(member.content, None, member.size)
    # A tar file ends before its compressed file does; the checksum of all that was read comes last.
    while rest := content.read(CHUNK):
        total += len(rest)
        _refuse_excess(archive, contents, total)
    return Unpacked(found, hashed.finish())


class _Hashed:
    """A file that is hashed as it is read, from its start to its end."""

    def __init__(self, file: IO[bytes]):
        self._file, self._digest, self._ended = file, hashlib.sha256(), False

    def read(self, size: int) -> bytes:
        piece = b"" if self._ended else self._file.read(size)
        self._ended = not piece
        self._digest.update(piece)
        return piece

    def finish(self) -> str:
        """Reads what is left; the hash of all."""
        while self.read(CHUNK):
            pass
        return self._digest.hexdigest()


def _refuse_hostile(archive: Path, contents: Contents, member: Member, count: int) -> None:
    name = member.name
    path = PurePosixPath(name)
    problem = None
    if not _is_name(name):
        problem = f"has a member whose name no file should have, {shown(name)}"
    elif path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        problem = f"has a member with the path {shown(name)}, which leads out of its folder"
    elif member.problem:
        problem = f"has {shown(name)}, which is {member.problem}"
    elif count > MAX_MEMBERS:
        problem = f"has more than {MAX_MEMBERS} members"
    if problem:
        raise contents.invalid(
            f"{archive} {problem}: an archive of one {contents.noun} has plain files only; nothing was unpacked"
        )


def _is_name(name: str) -> bool:
    """Whether a file system and UTF-8 take it."""
    try:
        parts = [len(part) for part in name.encode().split(b"/")]
    except UnicodeEncodeError:
        return False
    return "\0" not in name and len(name) <= _MAX_PATH and max(parts) <= _MAX_PART


def _refuse_excess(archive: Path, contents: Contents, total: int) -> None:
    if total > MAX_UNPACKED_BYTES:
        raise contents.invalid(
            f"{archive} unpacks to more than {MAX_UNPACKED_BYTES // 2**30} GiB, more than any {contents.noun} archive"
        )


def _copy(content: Readable, target: IO[bytes] | None, size: int) -> str:
    """Copies ``size`` bytes, or only reads them; their sha256."""
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
