"""A bucket or a folder that fsspec reaches, as the target of a release: each file read back, the manifest last."""

import contextlib
from collections.abc import Sequence

from exporter.errors import PublishError, ReleaseError
from exporter.fetch.sendable import Item
from exporter.fetch.sending import Sender, meant
from exporter.fetch.store_kinds import Info, kind_of
from exporter.fetch.stores import Store, failures
from exporter.progress import Listener
from exporter.publishing.contents import Contents, handle_of
from exporter.publishing.plan import Plan, planned, removable
from exporter.release.media_types import CACHE_CONTROL, media_type

#: Below it lie the artifacts of a release; nothing else that is there is looked at.
_ARTIFACTS = "google/imagenet"


class StoreTarget:
    """A place that fsspec reaches.

    Args:
        read_back: whether to read every byte that is there, also where the store states a hash that it computed.
    """

    def __init__(self, store: Store, read_back: bool = False):
        self.shown = store.shown
        self._store, self._files, self._kind = store, store.files, kind_of(store.protocol)
        self._sender = Sender(store, PublishError, _changed, "cannot publish to", read_back=read_back)

    def plan(self, contents: Contents, remove: Sequence[str], listener: Listener) -> Plan:
        """What is to be done there; files of the same size are compared by their bytes, or hashes of them.

        Raises:
            PublishError: the place cannot be read, or see `exporter.publishing.plan.planned`.
        """
        listener.note(f"looking at {self.shown}")
        there = self._there()
        known = {path: int(info["size"]) for path, info in there.items() if meant(path) is None}

        def same(item: Item) -> bool:
            listener.note(f"comparing {item.path}")
            return self._sender.has(item, there[item.path])

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

            def transferred(sent: int, before: int = done) -> None:
                listener.transferred(before + sent, total)

            self._sender.send(item, media_type(item.path), CACHE_CONTROL, transferred)
            done += item.size
            listener.transferred(done, total)
        removed = [each.path for each in plan.in_state("removed")]
        ours = {item.path for item in contents.items}
        unfinished = [path for path in self._there() if (whole := meant(path)) and (whole in ours or removable(whole))]
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

    def _failures(self, doing: str = "cannot publish to") -> contextlib.AbstractContextManager[None]:
        return failures(self.shown, PublishError, doing)


def _changed(item: Item) -> ReleaseError:
    return ReleaseError(f"{item.file} was changed while it was published: make the release again, and publish that")
