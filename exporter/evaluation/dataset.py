"""Lists the images of a data set with their labels, in the usual arrangements of ImageNet's validation images."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from exporter.errors import EvaluationError
from exporter.evaluation import shards
from exporter.evaluation.entries import Entries, entries_of, first_picture_below, pictures_below
from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.jobs import Image
from exporter.evaluation.labels import WNID, is_number, label_of, labels_of
from exporter.models.classes import IMAGENET_CLASSES, described, first_class

#: The classes of the first five validation images; other labels for them mean that the numbering is wrong.
_KNOWN = {f"ILSVRC2012_val_{number:08}": label for number, label in enumerate((66, 971, 231, 810, 517), start=1)}


class Item(NamedTuple):
    """An image: its file below the data set's folder, or the record of a TFRecord file that begins at ``offset``.

    ``label`` is the index of its class, None where the record has the label.
    """

    file: str
    offset: int | None
    label: int | None


@dataclass(frozen=True)
class DataSet:
    """The images to evaluate. ``available`` is their number before the limit; ``warnings`` are for the user."""

    folder: Path
    arrangement: str
    items: Sequence[Item]
    available: int
    warnings: tuple[str, ...] = field(default=())

    def digest(self) -> str:
        """The sha256 of the list of names and labels, in hexadecimal; it does not depend on where the folder is."""
        text = hashlib.sha256()
        for item in self.items:
            text.update(f"{item.file}\t{item.offset}\t{item.label}\n".encode(errors="surrogateescape"))
        return text.hexdigest()

    def images(self, start: int) -> tuple[Image, ...]:
        """The items from ``start`` on, as in a worker's request."""
        return tuple(Image(self.folder / item.file, item.offset, item.label) for item in self.items[start:])


def listed(folder: Path, labels: Path | None, classes: int, limit: int | None = None) -> DataSet:
    """Lists a folder in one of these arrangements.

    - folders: ``n01440764/*.JPEG``, one folder for each class, named by its wnid; where the classes are not ImageNet's,
      by its index: ``0/*.JPEG``;
    - flat: image files, and a file ``labels``: see `exporter.evaluation.labels.labels_of`;
    - records: TFRecord shards such as ``validation-00000-of-00128``, as TF-Slim writes them.

    Every picture counts, also those below the folder of a class, or the folder is refused. What systems leave in
    folders, and files of other kinds, are passed over.

    Args:
        classes: the number of classes of the network; wnids need one of 1001.
        limit: the largest number of images; they are spread evenly over the list.

    Raises:
        EvaluationError: it has none of these arrangements or several, or a label is unknown.
    """

    def is_class(name: str) -> bool:
        return bool(WNID.fullmatch(name)) or (classes != IMAGENET_CLASSES and is_number(name))

    found = entries_of(folder, is_class)
    _require_one_arrangement(folder, found)
    warnings: list[str] = []
    if found.shards:
        members, warnings = shards.of_one_data_set(folder, found.shards)
        arrangement = "records"
        items = [Item(name, offset, None) for name in members for offset in shards.offsets(folder / name)]
    elif found.pictures:
        arrangement, items = "flat", _flat(folder, found.pictures, labels, classes)
    elif found.classes:
        arrangement, items = "folders", _folders(folder, [*found.classes, *found.folders], classes)
    else:
        names = found.names
        what = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        numbered = "" if classes == IMAGENET_CLASSES else f" or by the index of a class, 0 to {classes - 1}"
        raise EvaluationError(
            f"{folder} holds {what or 'nothing'}: expected folders named by wnid (n01440764){numbered}, image files, "
            f"or TFRecord shards (validation-00000-of-00128)"
        )
    if labels and arrangement != "flat":
        raise EvaluationError(f"{folder} holds {arrangement}, which have their own labels: leave out --labels")
    if not items:
        raise EvaluationError(f"{folder} holds {arrangement}, but no image in them ({', '.join(SUFFIXES)})")
    if classes == IMAGENET_CLASSES:
        warnings += _misnumbered(items)
    return DataSet(folder, arrangement, _limited(items, limit), len(items), tuple(warnings))


def _require_one_arrangement(folder: Path, found: Entries) -> None:
    """Raises EvaluationError where a folder holds pictures in more than one way: none of them may be left out."""
    there = [_shown(*kind) for kind in (("pictures", found.pictures), ("shards", found.shards)) if kind[1]]
    if there:
        # Beside folders of classes alone, every folder must be one.
        for kind, names in (("folders of classes", found.classes), ("other folders", found.folders)):
            with_pictures = next((name for name in names if first_picture_below(folder / name)), None)
            if with_pictures:
                there.append(_shown(kind, [with_pictures]))
    if len(there) > 1:
        raise EvaluationError(f"{folder} holds {' and '.join(there)}: expected one of them, move the others away")


def _shown(kind: str, names: Sequence[str]) -> str:
    return f"{kind} ({names[0]}{', …' if len(names) > 1 else ''})"


def _limited(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    if limit is None or limit >= len(items):
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def _folders(folder: Path, names: Iterable[str], classes: int) -> list[Item]:
    items = []
    for name in sorted(names):
        label = label_of(name, classes, f"the folder {folder / name}")
        items += [Item(f"{name}/{picture}", None, label) for picture in pictures_below(folder / name)]
    return items


def _flat(folder: Path, images: list[str], labels: Path | None, classes: int) -> list[Item]:
    if labels is None:
        raise EvaluationError(
            f"{folder} holds {len(images):,} images without labels: pass --labels with a file of "
            + ("wnids" if first_class(classes) else "the indices of their classes")
        )
    return [Item(name, None, label) for name, label in zip(images, labels_of(images, labels, classes), strict=True)]


def _misnumbered(items: Iterable[Item]) -> list[str]:
    """A warning if a known image of the validation set has another label than in ImageNet."""
    for item in items:
        known = _KNOWN.get(Path(item.file).stem) if item.offset is None else None
        if known and item.label != known:
            wnid, name = described(known, IMAGENET_CLASSES)
            return [
                f"{item.file} is labelled as class {item.label}, but ImageNet's image of this name has class {known} "
                f"({wnid}, {name}): are the labels in another order?"
            ]
    return []
