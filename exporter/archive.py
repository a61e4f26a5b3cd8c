"""Unpacks the checkpoint out of a ``.tar.gz``, and nothing else of what such a file may hold."""

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from exporter.errors import CacheError, CheckpointError

#: The largest published archive unpacks to some 360 MB; a whole training run of that model leaves 1.5 GB.
MAX_UNPACKED_BYTES = 4 * 2**30
MAX_MEMBERS = 1000
_CHUNK = 2**20


def is_archive(path: Path) -> bool:
    return path.name.endswith((".tar.gz", ".tgz"))


def is_checkpoint_file(name: str) -> bool:
    """Whether a file name is one that a checkpoint consists of: ``*.index``, ``*.data-*-of-*`` or ``checkpoint``."""
    return name == "checkpoint" or name.endswith(".index") or ".data-" in name


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Unpacks the checkpoint files of ``archive`` into the existing ``folder``, keeping their subfolders.

    Other regular files are passed over. Nothing is ever written outside of ``folder``.

    Returns:
        The sha256 of every regular file in the archive, by its path there.

    Raises:
        CheckpointError: the archive is damaged or truncated, holds no checkpoint, or holds what no published archive
            does: a link, a device, a sparse file, a path that leaves the folder, too many or too large members.
        CacheError: it cannot be read, or ``folder`` not be written.
    """
    hashes: dict[str, str] = {}
    found = 0
    try:
        with gzip.open(archive) as content, tarfile.open(fileobj=content, mode="r|") as members:
            total = 0
            for count, member in enumerate(members, 1):
                total += member.size
                _refuse_hostile(archive, member, count)
                _refuse_excess(archive, total)
                if not member.isreg():
                    continue
                path = PurePosixPath(member.name)
                if is_checkpoint_file(path.name):
                    target = folder.joinpath(*path.parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with open(target, "xb") as file:
                        hashes[str(path)] = _copy(members.extractfile(member), file, member.size)
                    found += 1
                else:
                    hashes[str(path)] = _copy(members.extractfile(member), None, member.size)
            # A tar file ends before its gzip file does; the checksum of all that was read comes last.
            while content.read(_CHUNK):
                total += _CHUNK
                _refuse_excess(archive, total)
    except FileExistsError as error:
        raise CheckpointError(
            f"{archive} holds {Path(error.filename).name} twice: this is no published archive"
        ) from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise CacheError(f"cannot unpack {archive} to {folder}: {error.strerror}") from error
        raise CheckpointError(
            f"{archive} is not a whole .tar.gz archive ({error}): it is damaged or cut short, get it again"
        ) from error
    if not found:
        raise CheckpointError(f"{archive} holds no checkpoint: expected a model.ckpt.index and its data file in it")
    return hashes


def _refuse_hostile(archive: Path, member: tarfile.TarInfo, count: int) -> None:
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
        raise CheckpointError(f"{archive} {problem}: a checkpoint archive has plain files only; nothing was unpacked")


def _refuse_excess(archive: Path, total: int) -> None:
    if total > MAX_UNPACKED_BYTES:
        raise CheckpointError(
            f"{archive} unpacks to more than {MAX_UNPACKED_BYTES // 2**30} GiB, more than any checkpoint archive"
        )


def _copy(source: IO[bytes] | None, target: IO[bytes] | None, size: int) -> str:
    """Copies ``size`` bytes, or only reads them; their sha256."""
    assert source is not None
    digest, left = hashlib.sha256(), size
    while left:
        chunk = source.read(min(_CHUNK, left))
        if not chunk:
            raise EOFError("a member ends before its size")
        if target:
            target.write(chunk)
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
