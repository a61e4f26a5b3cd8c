"""A bucket or a folder that fsspec reaches, as the target of a release: each file read back, the manifest last."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from exporter.errors import WRONG, PublishError, ReleaseError
from exporter.fetch.stores import Store, failures
from exporter.files.hashing import sha256
from exporter.progress import Listener
from exporter.publishing.contents import Contents, Item, handle_of
from exporter.publishing.plan import Plan, planned, removable
from exporter.publishing.stores import Info, kind_of
from exporter.release.media_types import media_type

#: How often a file is sent whose bytes come back as others, before that is told.
_TRIES = 2
_PARTIAL = ".partial"
#: Bytes that are asked for at a time.
_BLOCK = 2**23
#: Below it lie the artifacts of a release; nothing else that is there is looked at.
_ARTIFACTS = "google/imagenet"


class StoreTarget:
    """A place that fsspec reaches.

    Args:
        read_back: whether to read every byte that is there, also where the store states a hash that it computed.
    """

    def __init__(self, store: Store, read_back: bool = False):
        self.shown = store.shown
        self._store, self._files, self._kind, self._read_back = store, store.files, kind_of(store.protocol), read_back

    def plan(self, contents: Contents, remove: Sequence[str], listener: Listener) -> Plan:
        """What is to be done there; files of the same size are compared by their bytes, or hashes of them.

        Raises:
            PublishError: the place cannot be read, or see `exporter.publishing.plan.planned`.
        """
        listener.note(f"looking at {self.shown}")
        there = self._there()
        known = {path: int(info["size"]) for path, info in there.items() if _meant(path) is None}

        def same(item: Item) -> bool:
            listener.note(f"comparing {item.path}")
            return self._has(item, there[item.path])

        folders = len(self._missing_folders(contents))
        steps = [f"make {folders} empty folders"] if folders else []
        return planned(self.shown, contents.items, known, same, remove, steps)

    def publish(self, contents: Contents, plan: Plan, listener: Listener) -> None:
        """Sends what is new or changed, in the order of the contents, then removes what is to be removed.

        Raises:
            PublishError: the place cannot be written, or gives other bytes than those that were sent.
            ReleaseError: a file of the release is no longer what it was.
        """
        wanted = {each.path for each in plan.in_state("new", "changed")}
        items = [item for item in contents.items if item.path in wanted]
        with self._failures():
            for folder in self._missing_folders(contents):
                self._files.makedirs(self._store.below(folder), exist_ok=True)
        total = sum(item.size for item in items)
        done = 0
        for item in items:
            listener.step(f"sending {item.path}")
            self._send(item, lambda sent, before=done: listener.transferred(before + sent, total))
            done += item.size
            listener.transferred(done, total)
        removed = [each.path for each in plan.in_state("removed")]
        ours = {item.path for item in contents.items}
        unfinished = [path for path in self._there() if (meant := _meant(path)) and (meant in ours or removable(meant))]
        for path in (*removed, *unfinished):
            listener.step(f"removing {path}")
            with self._failures():
                self._files.rm_file(self._store.below(path))
        kept = {record.handle for record in contents.records}
        for handle in dict.fromkeys(filter(None, map(handle_of, removed))):
            if handle not in kept and not self._kind.buckets:
                self._remove_folders(handle)

    def _remove_folders(self, handle: str) -> None:
        """Removes the folders of an artifact, and those above it, that have no file in them."""
        with self._failures():
            below = self._files.find(self._store.below(handle), withdirs=True, detail=True)
            folders = [path for path, info in below.items() if info["type"] == "directory"]
            above = [self._store.below(handle.rsplit("/", depth)[0]) for depth in (1, 2)]
            own = self._store.below(handle)
            for folder in (*sorted({*folders, own} - set(above), reverse=True), *above):
                # Whatever rmdir does to a folder that is not empty.
                if self._files.isdir(folder) and not self._files.ls(folder, detail=False):
                    self._files.rmdir(folder)

    def _missing_folders(self, contents: Contents) -> list[str]:
        """Empty folders of artifacts that are not there; a store of objects has no folders at all."""
        if self._kind.buckets:
            return []
        with self._failures("cannot read"):
            return [path for path in contents.empty_folders if not self._files.isdir(self._store.below(path))]

    def _there(self) -> dict[str, Info]:
        """What is there of a release, by path: below the folder of artifacts, and beside that."""
        with self._failures("cannot read"):
            if self._kind.buckets:
                self._files.info(self._store.container)  # a bucket that is not there holds nothing, as an empty one
            found: dict[str, Info] = {}
            for folder, depth in ((self._store.path, 1), (self._store.below(_ARTIFACTS), None)):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    found |= self._files.find(folder, maxdepth=depth, detail=True)
            start = len(self._store.below(""))
            return {str(path)[start:]: info for path, info in found.items() if info.get("type") == "file"}

    def _send(self, item: Item, transferred: Any) -> None:
        if sha256(item.file) != item.sha256:
            raise _changed(item)
        for _ in range(_TRIES):
            with self._failures():
                self._put(item, transferred)
                info = self._files.info(self._store.below(item.path))
                if int(info["size"]) == item.size and self._has(item, info):
                    return
        if sha256(item.file) != item.sha256:
            raise _changed(item)
        raise PublishError(
            f"{self.shown} gives other bytes for {item.path} than those that were sent, {_TRIES} times:\n"
            f"expected {item.size:,} bytes with sha256 {item.sha256}",
            status=WRONG,
        )

    def _put(self, item: Item, transferred: Any) -> None:
        """Writes a file; nobody sees it until it is whole."""
        from fsspec.callbacks import Callback

        callback = Callback(size=item.size, hooks={"sent": lambda size, value, **_: transferred(value)})
        place = self._store.below(item.path)
        headers = self._kind.headers(media_type(item.path))
        if self._kind.whole:
            self._files.put_file(str(item.file), place, callback=callback, **headers)
            return
        folder, _, name = place.rpartition("/")
        self._files.makedirs(folder, exist_ok=True)
        partial = f"{folder}/.{name}{_PARTIAL}"
        try:
            self._files.put_file(str(item.file), partial, callback=callback, **headers)
        except OSError:
            # It would keep a full disk full.
            with contextlib.suppress(OSError):
                self._files.rm_file(partial)
            raise
        self._files.mv(partial, place)

    def _has(self, item: Item, info: Info) -> bool:
        """Whether a file that is there, with the right size, has the item's bytes."""
        if not self._read_back and self._kind.confirms(info, item):
            return True
        digest = hashlib.sha256()
        place = self._store.below(item.path)
        with self._failures("cannot read"), self._files.open(place, "rb", block_size=_BLOCK) as file:
            while chunk := file.read(_BLOCK):
                digest.update(chunk)
        return digest.hexdigest() == item.sha256

    def _failures(self, doing: str = "cannot publish to") -> contextlib.AbstractContextManager[None]:
        return _told(self.shown, doing)


@contextlib.contextmanager
def _told(shown: str, doing: str) -> Iterator[None]:
    with failures(shown, PublishError, doing):
        yield


def _changed(item: Item) -> ReleaseError:
    return ReleaseError(f"{item.file} was changed while it was published: make the release again, and publish that")


def _meant(path: str) -> str | None:
    """The path that a file gets when it is whole; None for one that has its own already."""
    name = PurePosixPath(path).name
    if not (name.startswith(".") and name.endswith(_PARTIAL)):
        return None
    return str(PurePosixPath(path).with_name(name[1:].removesuffix(_PARTIAL) or name))
