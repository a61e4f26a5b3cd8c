"""Files sent to a store that fsspec reaches: nobody sees one before it is whole, and each is read back."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from exporter.errors import WRONG, NasexportError
from exporter.fetch.sendable import Item
from exporter.fetch.store_kinds import Info, kind_of
from exporter.fetch.stores import Store, failures
from exporter.files.hashing import sha256

#: How often a file is sent whose bytes come back as others, before that is told.
_TRIES = 2
_PARTIAL = ".partial"
#: Bytes that are asked for at a time.
_BLOCK = 2**23


class Sender:
    """Sends files to a store, one or several at the same time.

    Args:
        error: the class of the errors of the store.
        changed: the error where a file that is to be sent is no longer what it was.
        doing: what cannot be done where the store fails: "cannot publish to".
        read_back: whether to read every byte that is there, also where the store states a hash that it computed.
    """

    def __init__(
        self,
        store: Store,
        error: type[NasexportError],
        changed: Callable[[Item], NasexportError],
        doing: str,
        *,
        read_back: bool = False,
    ):
        self._store, self._files, self._kind = store, store.files, kind_of(store.protocol)
        self._error, self._changed, self._doing, self._read_back = error, changed, doing, read_back

    def send(
        self,
        item: Item,
        media_type: str,
        cache_control: str | None = None,
        transferred: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Sends a file, and reads it back.

        Raises:
            NasexportError: ``error`` where the store fails, or gives other bytes than were sent; ``changed``.
        """
        if sha256(item.file) != item.sha256:
            raise self._changed(item)
        for _ in range(_TRIES):
            with failures(self._store.shown, self._error, self._doing):
                self._put(item, media_type, cache_control, transferred)
                info = self._files.info(self._store.below(item.path))
                if self.has(item, info):
                    return
        if sha256(item.file) != item.sha256:
            raise self._changed(item)
        raise self._error(
            f"{self._store.shown} gives other bytes for {item.path} than those that were sent, {_TRIES} times:\n"
            f"expected {item.size:,} bytes with sha256 {item.sha256}",
            status=WRONG,
        )

    def _put(
        self, item: Item, media_type: str, cache_control: str | None, transferred: Callable[[int], object]
    ) -> None:
        """Writes a file; nobody sees it until it is whole."""
        from fsspec.callbacks import Callback

        callback = Callback(size=item.size, hooks={"sent": lambda size, value, **_: transferred(value)})
        place = self._store.below(item.path)
        options: dict[str, Any] = {"callback": callback, **self._kind.headers(media_type, cache_control)}
        if self._kind.whole:
            self._files.put_file(str(item.file), place, **options)
            return
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        unfinished = partial(place)
        try:
            self._files.put_file(str(item.file), unfinished, **options)
        except OSError:
            # It would keep a full disk full.
            with contextlib.suppress(OSError):
                self._files.rm_file(unfinished)
            raise
        self._files.mv(unfinished, place)

    def has(self, item: Item, info: Info) -> bool:
        """Whether a file that is there, of which the store says ``info``, has the item's bytes.

        Raises:
            NasexportError: ``error``, where it cannot be read.
        """
        if int(info["size"]) != item.size:
            return False
        if not self._read_back and self._kind.confirms(info, item):
            return True
        digest = hashlib.sha256()
        place = self._store.below(item.path)
        with (
            failures(self._store.shown, self._error, "cannot read"),
            self._files.open(place, "rb", block_size=_BLOCK) as file,
        ):
            while chunk := file.read(_BLOCK):
                digest.update(chunk)
        return digest.hexdigest() == item.sha256


def partial(path: str) -> str:
    """The path that a file has until it is whole, in stores where it could be seen before."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name}{_PARTIAL}"


def meant(path: str) -> str | None:
    """The path that a file gets when it is whole; None for one that has its own already."""
    name = PurePosixPath(path).name
    if not (name.startswith(".") and name.endswith(_PARTIAL)):
        return None
    return str(PurePosixPath(path).with_name(name[1:].removesuffix(_PARTIAL) or name))
