"""Pins archives in the lock file, after they were fetched and checked."""

import dataclasses
import hashlib

from exporter.errors import ConfigError
from exporter.fetch.cache import Cache
from exporter.fetch.lock import LockedArchive, write_entry
from exporter.fetch.published import Fetching, inventory, lock_entry
from exporter.fetch.unpacking import unpack
from exporter.files import staging, temporary
from exporter.models.config import ModelConfig
from exporter.progress import SILENT, Listener
from exporter.resources import is_installed, resource
from exporter.settings import Settings


def pin(
    config: ModelConfig,
    settings: Settings = Settings(),
    *,
    update: bool = False,
    listener: Listener = SILENT,
    debug: bool = False,
) -> LockedArchive:
    """Fetches the model's archive, checks all of it, and writes its size and hashes into the lock file.

    Args:
        update: whether to pin anew what is pinned already: the archive is fetched as if it were not.

    Raises:
        ConfigError: the lock file cannot be written.
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
        inventory(config, folder, listener, debug=debug)
    pinned = dataclasses.replace(locked, size=entry.size, sha256=entry.sha256, files=files)
    # Several may be pinned at once, each into the same file.
    name = "lock-" + hashlib.sha256(str(settings.lock.absolute()).encode()).hexdigest()[:16]
    with Cache(settings.cache).locked(name, listener):
        write_entry(pinned)
    return pinned


def prepare_lock_file(settings: Settings) -> None:
    """Makes sure that there is a lock file to write; a new one begins as a copy of the one that ships.

    Raises:
        ConfigError: the only lock file is that of an installed package.
    """
    shipped = resource("checkpoints.lock")
    if settings.lock_file is None:
        if is_installed():
            raise ConfigError(
                f"{shipped} belongs to the installed package, and would be lost with it:\n"
                f"name a lock file of your own with --lock-file; it is made where it does not exist"
            )
    elif not settings.lock_file.exists():
        try:
            staging.write(settings.lock_file, shipped.read_bytes())
        except OSError as error:
            raise ConfigError(f"cannot write the lock file {settings.lock_file}: {error.strerror}") from error
