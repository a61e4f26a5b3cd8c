"""Pins archives in the lock file, after they were fetched and checked."""

import dataclasses

from exporter.errors import CheckpointError, ConfigError
from exporter.fetch.lock import LockedArchive, changing, write_entry
from exporter.fetch.published import Fetching, inventory, lock_entry
from exporter.fetch.unpacking import unpack
from exporter.files import staging, temporary
from exporter.models.config import ModelConfig
from exporter.progress import SILENT, Listener
from exporter.resources import resource
from exporter.settings import LOCK_FILE, Settings, project_lock_file


def pin(
    config: ModelConfig,
    settings: Settings = Settings(),
    *,
    update: bool = False,
    allow_synthetic: bool = False,
    listener: Listener = SILENT,
    debug: bool = False,
) -> LockedArchive:
    """Fetches the model's archive, checks all of it, and writes its size and hashes into the lock file.

    Args:
        update: whether to pin anew what is pinned already: the archive is fetched as if it were not.
        allow_synthetic: whether to pin made-up weights in the place of published ones; the lock file says so then.

    Raises:
        ConfigError: the lock file cannot be written.
        CheckpointError: the archive is synthetic, and that is not allowed.
        NasexportError: as `exporter.fetch.published.fetch` does.
    """
    prepare_lock_file(settings)
    locked = lock_entry(config, settings)
    if update:
        locked = dataclasses.replace(locked, size=None, sha256=None, files={})
    entry = Fetching(config, locked, settings, listener, debug=debug).run()
    with temporary.folder() as folder:
        listener.note(f"unpacking {entry.path.name}")
        files = unpack(entry.path, folder, locked, entry.sha256)
        found = inventory(config, folder, listener, debug=debug)
    if found.synthetic is not None and not allow_synthetic:
        made = ", ".join(f"{key} {value}" for key, value in sorted(found.synthetic.items()))
        raise CheckpointError(
            f"{entry.path.name} is SYNTHETIC ({made}), not the published checkpoint: it was not pinned\n"
            f"--allow-synthetic pins it all the same, and says so in the lock file"
        )
    pinned = dataclasses.replace(
        locked, size=entry.size, sha256=entry.sha256, files=files, synthetic=found.synthetic is not None
    )
    write_entry(pinned, lambda: listener.note(f"waiting for another process that writes {pinned.lock_file}"))
    return pinned


def prepare_lock_file(settings: Settings) -> None:
    """Makes sure that there is a lock file to write: the one that is named, which begins as a copy of the one that
    ships, or the project's.

    Raises:
        ConfigError: the only lock file is that of the package, or the named one cannot be made.
    """
    if settings.lock_file is None:
        if project_lock_file() is None:
            raise ConfigError(
                f"there is no {LOCK_FILE} in this folder or above it, and the package's own is not for your pins:\n"
                f"name a file with --lock-file; it is made where it does not exist"
            )
    elif not settings.lock_file.exists():
        with changing(settings.lock_file):
            if not settings.lock_file.exists():  # another process may have made it
                staging.write(settings.lock_file, resource(LOCK_FILE).read_bytes(), follow_link=True)
