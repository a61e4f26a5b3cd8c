"""The images of a data set as one compact list: a million of them take some 60 MB, not 300."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

_NONE = -1
#: Between a tar file and the name of its member; neither has one.
_BETWEEN = "\0"


class Item(NamedTuple):
    """An image: its file below the data set's folder, or what begins at ``offset`` in a file of many, see
    `exporter.evaluation.jobs.Image`.

    ``label`` is the index of its class, None where the record has the label, or there is none.
    """

    file: str
    offset: int | None
    label: int | None
    member: str | None = None

    @property
    def name(self) -> str:
        """Its path below the data set's folder, as a table of results has it."""
        if self.member is not None:
            return f"{self.file}/{self.member}"
        return self.file if self.offset is None else f"{self.file}#{self.offset}"


class Items(Sequence[Item]):
    """Items in an order that stays."""

    def __init__(self, items: Iterable[Item] = ()):
        self._names = bytearray()
        self._ends, self._offsets, self._labels = array("Q"), array("q"), array("i")
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        text = item.file if item.member is None else f"{item.file}{_BETWEEN}{item.member}"
        self._names += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._names))
        self._offsets.append(_NONE if item.offset is None else item.offset)
        self._labels.append(_NONE if item.label is None else item.label)

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[Item]:
        return map(self._item, range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if isinstance(place, slice):
            return [self._item(each) for each in range(len(self))[place]]
        return self._item(range(len(self))[place])

    def _item(self, place: int) -> Item:
        begin = self._ends[place - 1] if place else 0
        text = self._names[begin : self._ends[place]].decode("utf-8", "surrogateescape")
        file, _, member = text.partition(_BETWEEN)
        offset, label = self._offsets[place], self._labels[place]
        return Item(file, None if offset < 0 else offset, None if label < 0 else label, member or None)
