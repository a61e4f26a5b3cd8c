"""What ``--frozen`` asks for: that nothing is used but what the lock file pins."""

from collections.abc import Iterable
from pathlib import Path

from exporter.checkpoint.source import Source
from exporter.errors import WRONG, FetchError
from exporter.fetch.lock import LockedArchive
from exporter.terminal import counted


def require_pinned(locked: LockedArchive) -> None:
    """Raises FetchError for an archive that is not pinned."""
    if not locked.pinned:
        raise FetchError(
            f"{locked.name} is not pinned in {locked.lock_file}, which --frozen asks for:\n"
            f"pin it with `nasexport lock`, or leave --frozen out"
        )


def require_all_pinned(archives: Iterable[LockedArchive]) -> None:
    """Raises FetchError, in one for all, where archives are not pinned."""
    if names := [locked.name for locked in archives if not locked.pinned]:
        raise FetchError(
            f"not pinned: {counted(len(names), 'archive')} ({', '.join(names)}); "
            f"pin with `nasexport lock`, or leave --frozen out",
            status=WRONG,
        )


def require_pinned_checkpoint(checkpoint: Source, locked: LockedArchive, path: Path) -> None:
    """Holds a checkpoint that the user named, at ``path``, against the lock file: its archive's hash, or each file's.

    Raises:
        FetchError: it is not what is pinned, or nothing is.
    """
    require_pinned(locked)
    if checkpoint.archive_sha256 == locked.sha256:
        return
    pinned = {Path(name).name: digest for name, digest in locked.files.items()}
    for name, digest in checkpoint.files.items():
        if pinned.get(name) != digest:
            raise FetchError(
                f"--frozen refuses {path}: {name} has sha256 {digest},\n"
                f"but {locked.lock_file} says {pinned.get(name, 'nothing of such a file')}",
                status=WRONG,
            )
