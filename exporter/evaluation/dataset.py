"""Lists the images of a data set with their labels, in the usual arrangements of ImageNet's validation images."""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exporter.errors import EvaluationError
from exporter.evaluation import file_lists, shards, tars
from exporter.evaluation.entries import Entries, entries_of, first_picture_below, pictures_below
from exporter.evaluation.file_lists import LIST_SUFFIXES
from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.items import Item, Items
from exporter.evaluation.jobs import Image
from exporter.evaluation.labels import WNID, is_number, label_of, labels_of
from exporter.evaluation.tars import TAR_SUFFIXES
from exporter.models.classes import IMAGENET_CLASSES, class_of_wnid, described, first_class

#: The classes of the first five validation images; other labels for them mean that the numbering is wrong.
_KNOWN = {f"ILSVRC2012_val_{number:08}": label for number, label in enumerate((66, 971, 231, 810, 517), start=1)}


@dataclass(frozen=True)
class DataSet:
    """The images to evaluate. ``named`` is what the user calls it, ``folder`` what the names of files are below.

    ``available`` is their number before the limit; ``warnings`` are for the user.
    """

    named: str
    folder: Path
    arrangement: str
    items: Sequence[Item]
    available: int
    warnings: tuple[str, ...] = field(default=())

    def digest(self) -> str:
        """The sha256 of the list of names and labels, in hexadecimal; it does not depend on where the folder is."""
        text = hashlib.sha256()
        for item in self.items:
            name = item.file if item.member is None else f"{item.file}\t{item.member}"
            text.update(f"{name}\t{item.offset}\t{item.label}\n".encode(errors="surrogateescape"))
        return text.hexdigest()

    def image(self, place: int) -> Image:
        """An item, as a worker's request has it."""
        item = self.items[place]
        return Image(self.folder / item.file, item.offset, item.label, item.member)

    def images(self, start: int, count: int) -> tuple[Image, ...]:
        """So many items from ``start`` on, as in a worker's request."""
        return tuple(map(self.image, range(start, start + count)))


def listed(
    path: Path, labels: Path | None, classes: int | None, limit: int | None = None, called: str | None = None
) -> DataSet:
    """Lists a data set in one of these arrangements.

    - folders: ``n01440764/*.JPEG``, one folder for each class, named by its wnid; where the classes are not ImageNet's,
      by its index: ``0/*.JPEG``;
    - flat: image files, and a file ``labels``: see `exporter.evaluation.labels.labels_of`;
    - records: TFRecord shards such as ``validation-00000-of-00128``, as TF-Slim or TensorFlow Datasets writes them, or
      one such file;
    - tars: tar files, as WebDataset writes them, or one such file: see `exporter.evaluation.tars`;
    - list: a file that lists pictures: see `exporter.evaluation.file_lists`;
    - pictures, where no labels are needed: image files anywhere below the folder.

    Every picture counts, also those below the folder of a class, or the folder is refused. What systems leave in
    folders, and files of other kinds, are passed over.

    Args:
        path: the folder, the file, or the beginning of the names of shards: ``DIR/train``.
        classes: the number of classes of the network; wnids need one of 1001. None where no labels are needed.
        limit: the largest number of images; they are spread evenly over the list.
        called: what the user calls it, where that is not ``path``.

    Raises:
        EvaluationError: it has none of these arrangements or several, or a label is unknown.
    """
    warnings: list[str] = []
    folder = path
    if path.is_file():
        folder = path.parent
        arrangement, items = _of_file(path, classes)
    elif not path.exists() and (named := _shards_named(path)):
        folder = path.parent
        arrangement, (items, warnings) = "records", _records(folder, named, path.name, classes)
    elif classes is None:
        arrangement, items, warnings = _unlabelled(folder)
    else:
        arrangement, items, warnings = _labelled(folder, labels, classes)
    if labels and arrangement != "flat":
        raise EvaluationError(f"{path} holds {arrangement}, which have their own labels: leave out --labels")
    if not items:
        raise EvaluationError(f"{path} holds {arrangement}, but no image in them ({', '.join(SUFFIXES)})")
    if classes == IMAGENET_CLASSES:
        warnings += _misnumbered(items)
    return DataSet(called or str(path), folder, arrangement, _limited(items, limit), len(items), tuple(warnings))


def _labelled(folder: Path, labels: Path | None, classes: int) -> tuple[str, Items, list[str]]:
    """The arrangement, items and warnings of a folder of images whose labels are needed."""

    def is_class(name: str) -> bool:
        return bool(WNID.fullmatch(name)) or (classes != IMAGENET_CLASSES and is_number(name))

    found = entries_of(folder, is_class)
    _require_one_arrangement(folder, found)
    if found.shards:
        return "records", *_records(folder, found.shards, None, classes)
    if found.pictures:
        return "flat", _flat(folder, found.pictures, labels, classes), []
    if found.classes:
        return "folders", _folders(folder, [*found.classes, *found.folders], classes), []
    if found.tars:
        return "tars", _tars(folder, found.tars, classes), []
    names = found.names
    what = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    numbered = "" if classes == IMAGENET_CLASSES else f" or by the index of a class, 0 to {classes - 1}"
    raise EvaluationError(
        f"{folder} holds {what or 'nothing'}: expected folders named by wnid (n01440764){numbered}, image files, "
        f"TFRecord shards (validation-00000-of-00128), or tar files"
    )


def _unlabelled(folder: Path) -> tuple[str, Items, list[str]]:
    """The same of any images; what has a label all the same keeps it."""
    found = entries_of(folder, lambda _: False)
    if found.shards:
        _require_one_arrangement(folder, found)
        return "records", *_records(folder, found.shards, None, None)
    items = Items()
    for name in pictures_below(folder):
        top = name.partition("/")[0]
        items.append(Item(name, None, class_of_wnid().get(top) if WNID.fullmatch(top) else None))
    if not items and found.tars:
        return "tars", _tars(folder, found.tars, None), []
    if not items:
        raise EvaluationError(
            f"{folder} holds no image: expected image files ({', '.join(SUFFIXES)}), TFRecord shards "
            f"(validation-00000-of-00128), or tar files"
        )
    return "pictures", items, []


def _of_file(path: Path, classes: int | None) -> tuple[str, Items]:
    """The arrangement and items of a data set that is one file."""
    name = path.name.lower()
    if name.endswith(SUFFIXES):
        raise EvaluationError(f"{path} is one picture: expected a folder, a list (.txt, .csv), TFRecords, or a .tar")
    if name.endswith(LIST_SUFFIXES):
        return "list", _list(path, classes)
    if name.endswith(TAR_SUFFIXES):
        return "tars", _tars(path.parent, [path.name], classes)
    return "records", Items(Item(path.name, offset, None) for offset in shards.offsets(path))


def _list(path: Path, classes: int | None) -> Items:
    items = Items()
    for line in file_lists.lines(path):
        where = f"line {line.number} of {path}"
        if line.label is None and classes is not None:
            raise EvaluationError(f"{where} has no label: expected a path, a tab (or in .csv a comma) and a label")
        items.append(Item(line.path, None, None if line.label is None else label_of(line.label, classes, where)))
    return items


def _tars(folder: Path, names: Sequence[str], classes: int | None) -> Items:
    items = Items()
    for name in names:
        for member in tars.members(folder / name):
            where = f"{folder / name}/{member.name}"
            if member.label is None and classes is not None:
                raise EvaluationError(f"{where} has no label: expected a .cls file after it, as WebDataset writes")
            items.append(Item(name, member.offset, _label_in_tar(member.label, classes, where), member.name))
    return items


def _label_in_tar(text: str | None, classes: int | None, where: str) -> int | None:
    """A label of WebDataset's, which numbers classes from 0 on, ImageNet's too, where networks have a background."""
    if text is None:
        return None
    if classes is None or WNID.fullmatch(text):
        return label_of(text, classes, where)
    first = first_class(classes)
    return first + label_of(text, classes - first, where) if first else label_of(text, classes, where)


def _shards_named(path: Path) -> list[str]:
    """The names of the shards whose names begin with that of ``path``: the data set ``train`` of a folder."""
    with contextlib.suppress(EvaluationError):
        names = entries_of(path.parent, lambda _: False).shards
        return [name for name in names if (match := shards.shard(name)) and match["split"] == path.name]
    return []


def _records(folder: Path, names: Sequence[str], wanted: str | None, classes: int | None) -> tuple[Items, list[str]]:
    members, warnings = shards.of_one_data_set(folder, names, wanted, None if classes is None else "val")
    return Items(Item(name, offset, None) for name in members for offset in shards.offsets(folder / name)), warnings


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


def _limited(items: Items, limit: int | None) -> Items:
    if limit is None or limit >= len(items):
        return items
    return Items(items[index * len(items) // limit] for index in range(limit))


def _folders(folder: Path, names: Iterable[str], classes: int) -> Items:
    items = Items()
    for name in sorted(names):
        label = label_of(name, classes, f"the folder {folder / name}")
        for picture in pictures_below(folder / name):
            items.append(Item(f"{name}/{picture}", None, label))
    return items


def _flat(folder: Path, images: list[str], labels: Path | None, classes: int) -> Items:
    if labels is None:
        raise EvaluationError(
            f"{folder} holds {len(images):,} images without labels: pass --labels with a file of "
            + ("wnids" if first_class(classes) else "the indices of their classes")
        )
    return Items(
        Item(name, None, label) for name, label in zip(images, labels_of(images, labels, classes), strict=True)
    )


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
