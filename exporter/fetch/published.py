"""Gets the published archives: from the cache, or from the first source that has the right bytes."""

import contextlib
import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from exporter.checkpoint import source
from exporter.checkpoint.source import Source
from exporter.errors import CacheError, CheckpointError, ConfigError, FetchError
from exporter.fetch.cache import RECORD, Cache, Entry, read_record
from exporter.fetch.lock import LockedArchive, locked_archive, locked_archives
from exporter.fetch.partial import forget
from exporter.fetch.sources import shown, sources
from exporter.files import archive, hashing
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
        raise ConfigError(f"{config.name} has no published archive: pass --checkpoint with a file")
    return locked_archive(config.checkpoint, settings.lock)


def cached(settings: Settings) -> dict[str, Entry]:
    """The archives that the lock file means and that lie in the cache, unchecked, by name.

    Raises:
        ConfigError: the lock file is not valid.
    """
    cache = Cache(settings.cache)
    found = {name: cache.find(locked) for name, locked in locked_archives(settings.lock).items()}
    return {name: entry for name, entry in found.items() if entry}


def fetch(config: ModelConfig, settings: Settings = Settings(), listener: Listener = SILENT) -> Entry:
    """The model's archive in the cache, its bytes checked; it is brought there first where it is not.

    A pinned archive has the locked bytes. One that is not pinned has those that its server stated, and holds a sound
    checkpoint of the model.

    Raises:
        ConfigError: the model has no published archive, or a setting is not valid.
        FetchError: no source has the right file, or ``settings`` forbid to take what there is.
        CacheError: the cache cannot be written.
        CheckpointError: an archive that is not pinned is not the model's, or damaged.
    """
    locked = lock_entry(config, settings)
    _require_pinned(locked, settings)
    return Fetching(config, locked, settings, listener).run()


@contextlib.contextmanager
def opened(
    config: ModelConfig,
    checkpoint: Path | None,
    settings: Settings = Settings(),
    listener: Listener = SILENT,
    *,
    scratch: Path | None = None,
) -> Iterator[Source]:
    """The checkpoint to work with: the one that the user names, or the published one, unpacked.

    Args:
        scratch: where to unpack what the cache cannot keep, by default where temporary files go.

    Raises:
        NasexportError: as `exporter.checkpoint.source.opened` and `fetch` do.
    """
    if checkpoint is not None:
        with source.opened(checkpoint, scratch) as named:
            if settings.frozen:
                _require_locked_source(named, lock_entry(config, settings), checkpoint)
            yield named
        return
    locked = lock_entry(config, settings)
    _require_pinned(locked, settings)
    job = Fetching(config, locked, settings, listener)
    with job.unpacked(scratch) as (folder, entry):
        prefix = source.find_prefix(folder, shown_as=entry.path)
        yield source.described(prefix, locked.file_name, entry.sha256)


def _require_pinned(locked: LockedArchive, settings: Settings) -> None:
    if settings.frozen and not locked.pinned:
        raise FetchError(
            f"{locked.name} is not pinned in {locked.lock_file}, which --frozen asks for:\n"
            f"pin it with `nasexport lock`, or leave --frozen out"
        )


def _require_locked_source(named: Source, locked: LockedArchive, shown: Path) -> None:
    """Holds a checkpoint that the user named against the lock file: the archive's hash, or each file's."""
    if not locked.pinned:
        _require_pinned(locked, Settings(frozen=True))
    if named.archive_sha256 == locked.sha256:
        return
    pinned = {Path(path).name: digest for path, digest in locked.files.items()}
    for name, digest in named.files.items():
        if pinned.get(name) != digest:
            raise FetchError(
                f"--frozen refuses {shown}: {name} has sha256 {digest},\n"
                f"but {locked.lock_file} says {pinned.get(name, 'nothing of such a file')}"
            )


def inventory(config: ModelConfig, folder: Path, listener: Listener) -> dict[str, Any]:
    """What an unpacked checkpoint holds, all of it read and found sound; see `exporter.checkpoint.inventory`."""
    prefix = source.find_prefix(folder)
    found = worker.run("inventory", {"config": config.to_dict(), "prefix": str(prefix)}, listener.note)
    del found["peak_memory"]
    return found


class Fetching:
    """One archive on its way into the cache."""

    def __init__(self, config: ModelConfig, locked: LockedArchive, settings: Settings, listener: Listener):
        self._config, self._locked, self._settings, self._listener = config, locked, settings, listener
        self._cache = Cache(settings.cache)

    def run(self) -> Entry:
        """The archive in the cache, checked."""
        if entry := self._sound():
            return entry
        if not sources(self._locked, self._settings):
            raise FetchError(
                f"the cache {self._cache.folder} has no sound {self._locked.name}, and --offline forbids a download"
                f"\nPass --checkpoint, or --mirror with a folder that has {self._locked.file_name}"
            )
        with self._cache.locked(self._locked.name, self._listener):
            # Another process may have brought it in the meantime; one that is not right goes aside, now that it can.
            return self._sound(set_aside=True) or self._from_sources()

    @contextlib.contextmanager
    def unpacked(self, scratch: Path | None = None) -> Iterator[tuple[Path, Entry]]:
        """The folder with the archive's checkpoint and the archive: in the cache, or for the time of the block."""
        entry = self._cache.find(self._locked)
        if entry is None or not self._unpacked_is_sound(entry.sha256):
            entry = self.run()
        if self._unpacked_in_cache(entry):
            yield self._cache.unpacked(entry.sha256), entry
            return
        with tempfile.TemporaryDirectory(prefix="nasexport-", dir=scratch) as temporary:
            self.unpack_to(entry.path, Path(temporary))
            yield Path(temporary), entry

    def _unpacked_in_cache(self, entry: Entry) -> bool:
        """Sees to it that the archive is unpacked in the cache; False where the cache can only be read."""
        if self._unpacked_is_sound(entry.sha256):
            return True
        try:
            with self._cache.locked(self._locked.name, self._listener):
                if not self._unpacked_is_sound(entry.sha256):
                    self._listener.note(f"unpacking {entry.path.name}")
                    self._unpack(entry.path, entry.sha256)
        except CacheError:
            return False
        return True

    def _sound(self, set_aside: bool = False) -> Entry | None:
        """The archive in the cache, if it is there and has the right bytes."""
        entry = self._cache.find(self._locked)
        if entry is None:
            return None
        self._listener.note(f"checking {entry.path.name} in the cache")
        found = hashing.sha256(entry.path)
        if found == entry.sha256:
            return entry
        if set_aside:
            place = self._cache.refuse(entry.path, found)
            self._cache.remove(entry.path.parent)
            self._listener.warn(
                f"{entry.path.name} in the cache is damaged: its sha256 is {found}, not {entry.sha256}; "
                f"it is kept as {place} and fetched again"
            )
        return None

    def _unpacked_is_sound(self, sha256: str) -> bool:
        folder = self._cache.unpacked(sha256)
        files = read_record(folder).get("files")
        if not isinstance(files, dict):
            return False
        files = {**files, **self._locked.files}
        paths = {path: folder / path for path in files if source.is_checkpoint_file(Path(path).name)}
        return bool(paths) and all(
            place.is_file() and hashing.sha256(place) == files[path] for path, place in paths.items()
        )

    def _unpack(self, file: Path, sha256: str) -> None:
        """Unpacks an archive into the cache."""
        try:
            with self._cache.staged(self._cache.unpacked(sha256)) as staging:
                files = self.unpack_to(file, staging)
                (staging / RECORD).write_text(json.dumps({"files": files}, indent=2), encoding="utf-8")
        except OSError as error:
            raise CacheError(f"cannot unpack {file.name} into the cache: {error.strerror}") from error

    def unpack_to(self, file: Path, folder: Path) -> dict[str, str]:
        """Unpacks an archive into a folder; the sha256 of each file in it, which are those that are pinned, if any."""
        files = archive.unpack(file, folder, source.CHECKPOINT)
        self._require_files(files, file)
        return files

    def _require_files(self, files: dict[str, str], shown: Path) -> None:
        """Holds the files of an archive against those that are pinned."""
        pinned = dict(self._locked.files)
        for name in sorted({*pinned, *files} if pinned else ()):
            if files.get(name) != pinned.get(name):
                raise FetchError(
                    f"{shown.name}: {name} has sha256 {files.get(name, 'none, as it is not there')},\n"
                    f"but {self._locked.lock_file} says {pinned.get(name, 'nothing of such a file')}"
                )

    def _from_sources(self) -> Entry:
        """Asks one source after the other; what the last one fails with is what the user hears."""
        places = sources(self._locked, self._settings)
        for place, following in itertools.pairwise(places):
            try:
                return self._from(place)
            except (FetchError, CheckpointError) as error:
                self._listener.warn(f"{' '.join(str(error).split())}\ntrying {shown(following)} instead")
        return self._from(places[-1])

    def _from(self, place: str) -> Entry:
        from exporter.fetch.transfer import receive

        locked, settings = self._locked, self._settings
        key = hashlib.sha256(place.encode()).hexdigest()[:8]
        partial = self._cache.partial(f"{locked.name}-{key}.tar.gz.part")
        self._listener.note(f"fetching {shown(place)}")
        received = receive(
            place,
            partial,
            size=locked.size,
            sha256=locked.sha256,
            timeout=settings.timeout,
            retries=settings.retries,
            listener=self._listener,
        )
        self._require_pinned_bytes(partial, received.sha256, received.size, shown(place))
        record: dict[str, Any] = {"url": shown(place), "size": received.size}
        if not locked.pinned:
            record["inventory"] = self._checked(partial, received.sha256)
            self._listener.warn(
                f"{locked.name} is not pinned in {locked.lock_file}; "
                f"its {received.size} bytes have sha256 {received.sha256}"
            )
        entry = self._cache.add(locked, partial, received.sha256, record)
        forget(partial)
        return entry

    def _require_pinned_bytes(self, partial: Path, sha256: str, size: int, shown: str) -> None:
        locked = self._locked
        if locked.sha256 in (None, sha256):
            return
        kept = self._refuse(partial, sha256)
        raise FetchError(
            f"{shown} has {size:,} bytes with sha256 {sha256}, but {locked.lock_file.name} says "
            f"{locked.size:,} bytes with sha256 {locked.sha256}:\n"
            f"it is not the published file; what came is kept as {kept}"
        )

    def _refuse(self, partial: Path, sha256: str) -> Path:
        kept = self._cache.refuse(partial, sha256)
        forget(partial)
        return kept

    def _checked(self, partial: Path, sha256: str) -> dict[str, Any]:
        """Unpacks an archive that nothing is known of, and holds it against the model's inventory."""
        folder = self._cache.unpacked(sha256)
        self._listener.note("unpacking the archive")
        try:
            self._unpack(partial, sha256)
            return inventory(self._config, folder, self._listener)
        except CheckpointError as error:
            if folder.exists():
                self._cache.remove(folder)
            kept = self._refuse(partial, sha256)
            text = " ".join(str(error).replace(str(partial), self._locked.file_name).split())
            raise CheckpointError(f"{text};\nwhat came is kept as {kept}") from error
