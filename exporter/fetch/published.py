"""Gets the published archives: from the cache, or from the first address that has the right bytes."""

import contextlib
import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from exporter.checkpoint import source
from exporter.checkpoint.jobs import INVENTORY, Inventory, InventoryRequest
from exporter.checkpoint.source import Source
from exporter.errors import USAGE, WRONG, CheckpointError, ConfigError, FetchError
from exporter.fetch.addresses import addresses, without_password
from exporter.fetch.cache import ArchiveRecord, Cache, Entry
from exporter.fetch.cache_lookup import find_sound, unpacked_is_sound
from exporter.fetch.frozen import require_pinned, require_pinned_checkpoint
from exporter.fetch.lock import LockedArchive, locked_archive, locked_archives
from exporter.fetch.partial import discard
from exporter.fetch.unpacking import is_marked_synthetic, unpack_into_cache, unpacked
from exporter.models.config import ModelConfig
from exporter.processes import run as worker
from exporter.progress import SILENT, Listener
from exporter.settings import Settings


def lock_entry(config: ModelConfig, settings: Settings) -> LockedArchive:
    """What the lock file says of the model's archive.

    Raises:
        ConfigError: the model has no published archive, or the lock file is not valid.
    """
    if config.checkpoint is None:
        raise ConfigError(f"{config.name} has no published archive: pass --checkpoint with a file", status=USAGE)
    return locked_archive(config.checkpoint, settings.lock)


def cached(settings: Settings) -> dict[str, Entry]:
    """The archives of the lock file that are in the cache, by name; their bytes unchecked.

    Raises:
        ConfigError: the lock file is not valid.
    """
    cache = Cache(settings.cache)
    found = {name: cache.find(locked) for name, locked in locked_archives(settings.lock).items()}
    return {name: entry for name, entry in found.items() if entry}


def synthetic_archives(settings: Settings) -> set[str]:
    """The sha256 of every archive, pinned or in the cache, whose weights are known to be made up.

    Raises:
        ConfigError: the lock file is not valid.
    """
    pinned = {locked.sha256 for locked in locked_archives(settings.lock).values() if locked.synthetic}
    return {sha256 for sha256 in pinned if sha256} | {
        entry.sha256 for entry in Cache(settings.cache).entries() if entry.synthetic
    }


def fetch(
    config: ModelConfig, settings: Settings = Settings(), listener: Listener = SILENT, *, debug: bool = False
) -> Entry:
    """The model's archive in the cache, its bytes checked; it is downloaded first where it is not there.

    A pinned archive has exactly the bytes that the lock file says. One that is not pinned has those that its server
    stated, and holds a sound checkpoint of the model.

    Raises:
        ConfigError: the model has no published archive, or a setting is not valid.
        FetchError: no address has the right file, or ``settings`` do not allow to use it.
        CacheError: the cache cannot be written.
        CheckpointError: an archive that is not pinned is not the model's, or damaged.
    """
    locked = lock_entry(config, settings)
    if settings.frozen:
        require_pinned(locked)
    return Fetching(config, locked, settings, listener, debug=debug).run()


@contextlib.contextmanager
def opened(
    config: ModelConfig,
    checkpoint: Path | None,
    settings: Settings = Settings(),
    listener: Listener = SILENT,
    *,
    scratch: Path | None = None,
    debug: bool = False,
    time_limit: float | None = None,
) -> Iterator[Source]:
    """The checkpoint to work with: the one that the user names, or the published one, unpacked.

    Args:
        scratch: where to unpack what the cache cannot keep, by default where temporary files go.
        debug, time_limit: of the process that checks an archive that is not pinned, see `exporter.processes.run.run`.

    Raises:
        NasexportError: as `exporter.checkpoint.source.opened` and `fetch` do.
    """
    if checkpoint is not None:
        with source.opened(checkpoint, scratch, copied=settings.frozen) as named:
            if settings.frozen:
                require_pinned_checkpoint(named, lock_entry(config, settings), checkpoint)
            yield named
        return
    locked = lock_entry(config, settings)
    if settings.frozen:
        require_pinned(locked)
    cache = Cache(settings.cache)
    entry = cache.find(locked)
    if entry is None or not unpacked_is_sound(cache, locked, entry.sha256):
        entry = Fetching(config, locked, settings, listener, debug=debug, time_limit=time_limit).run()
    with unpacked(cache, locked, entry, listener, scratch) as folder:
        prefix = source.find_prefix(folder, shown_as=entry.path)
        with source.named(entry.path):
            yield source.described(prefix, locked.file_name, entry.sha256)


def inventory(
    config: ModelConfig, folder: Path, listener: Listener, *, debug: bool = False, time_limit: float | None = None
) -> Inventory:
    """What an unpacked checkpoint holds, all of it read and found sound; see `exporter.checkpoint.inventory`."""
    request = InventoryRequest(config, source.find_prefix(folder))
    return worker.run(INVENTORY, request, listener.note, debug, time_limit=time_limit).result


class Fetching:
    """Brings one archive into the cache, from the first address that has the right bytes."""

    def __init__(
        self,
        config: ModelConfig,
        locked: LockedArchive,
        settings: Settings,
        listener: Listener,
        *,
        debug: bool = False,
        time_limit: float | None = None,
    ):
        self._config, self._locked, self._settings, self._listener = config, locked, settings, listener
        self._debug, self._time_limit = debug, time_limit
        self._cache = Cache(settings.cache)

    def run(self) -> Entry:
        """The archive in the cache, its bytes checked."""
        self._cache.sweep()
        if entry := find_sound(self._cache, self._locked, self._listener):
            return entry
        if not addresses(self._locked, self._settings):
            raise FetchError(
                f"the cache {self._cache.folder} has no sound {self._locked.name}, and --offline forbids a download"
                f"\nPass --checkpoint, or --mirror with a folder that has {self._locked.file_name}"
            )
        with self._cache.locked(self._locked.name, self._listener):
            # Another process may have fetched it in the meantime. A damaged one is moved away, now that nobody uses it.
            entry = find_sound(self._cache, self._locked, self._listener, set_aside=True)
            return entry or self._from_addresses()

    def _from_addresses(self) -> Entry:
        """Tries one address after the other; the error of the last one is raised, those before it are warnings."""
        found = addresses(self._locked, self._settings)
        for address, following in itertools.pairwise(found):
            try:
                return self._from(address)
            except (FetchError, CheckpointError) as error:
                self._listener.warn(f"{' '.join(str(error).split())}\ntrying {without_password(following)} instead")
        return self._from(found[-1])

    def _from(self, address: str) -> Entry:
        from exporter.fetch.transfer import receive

        locked, settings = self._locked, self._settings
        shown = without_password(address)
        key = hashlib.sha256(shown.encode(errors="surrogateescape")).hexdigest()[:8]
        partial = self._cache.partial_file(f"{locked.name}-{key}.tar.gz.part")
        self._listener.note(f"fetching {shown}")
        received = receive(
            address,
            partial,
            size=locked.size,
            sha256=locked.sha256,
            timeout=settings.timeout,
            retries=settings.retries,
            listener=self._listener,
        )
        self._require_pinned_bytes(partial, received.sha256, received.size, shown)
        inventory = None
        if locked.pinned:
            synthetic = locked.synthetic or is_marked_synthetic(partial)
        else:
            inventory = self._checked(partial, received.sha256)
            synthetic = inventory.synthetic is not None
            self._listener.warn(
                f"{locked.name} is not pinned in {locked.lock_file}; "
                f"its {received.size} bytes have sha256 {received.sha256}"
            )
        record = ArchiveRecord(shown, received.size, inventory, synthetic)
        entry = self._cache.add(locked, partial, received.sha256, record)
        discard(partial)
        return entry

    def _require_pinned_bytes(self, partial: Path, sha256: str, size: int, shown: str) -> None:
        locked = self._locked
        if locked.sha256 in (None, sha256):
            return
        kept = self._set_aside(partial, sha256)
        raise FetchError(
            f"{shown} has {size:,} bytes with sha256 {sha256}, but {locked.lock_file.name} says "
            f"{locked.size:,} bytes with sha256 {locked.sha256}:\n"
            f"it is not the published file; what came is kept as {kept}",
            status=WRONG,
        )

    def _set_aside(self, partial: Path, sha256: str) -> Path:
        kept = self._cache.set_aside(partial, sha256)
        discard(partial)
        return kept

    def _checked(self, partial: Path, sha256: str) -> Inventory:
        """Unpacks an archive that is not pinned, and checks that it holds the model's variables."""
        folder = self._cache.unpacked_folder(sha256)
        self._listener.note("unpacking the archive")
        try:
            unpack_into_cache(self._cache, self._locked, partial, sha256)
            limit = self._time_limit
            return inventory(self._config, folder, self._listener, debug=self._debug, time_limit=limit)
        except CheckpointError as error:
            if folder.exists():
                self._cache.remove(folder)
            kept = self._set_aside(partial, sha256)
            text = " ".join(str(error).replace(str(partial), self._locked.file_name).split())
            raise CheckpointError(f"{text};\nwhat came is kept as {kept}") from error
