"""Lists the images of a data set with their labels, in the usual layouts of ImageNet's validation images."""

import hashlib
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from exporter.errors import EvaluationError
from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.jobs import Image
from exporter.models.classes import IMAGENET_CLASSES, class_of_wnid, described

_WNID = re.compile(r"n\d{8}")
_SHARD = re.compile(r"(?P<split>.+?)-(?P<index>\d{5})-of-(?P<shards>\d{5})(?:\.\w+)?")
_VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(?P<number>\d{8})")
_VALIDATION_IMAGES = 50_000
#: This file numbers the classes in the order of the development kit, which no network uses.
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
#: The classes of the first five validation images; other labels for them mean that the numbering is wrong.
_KNOWN = {f"ILSVRC2012_val_{number:08}": label for number, label in enumerate((66, 971, 231, 810, 517), start=1)}
#: A TFRecord has a header before its content (length, checksum of the length) and the checksum of the content after.
_HEADER = struct.Struct("<QI")
_FOOTER_SIZE = 4


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
    layout: str
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
    """Lists a folder in one of these layouts.

    - folders: ``n01440764/*.JPEG``, one folder for each class, named by its wnid;
    - flat: image files, and a file ``labels``: it has one label per line in the order of the file names, or a file name
      and a label per line. A label is a wnid, or the index of the class in the network's output;
    - records: TFRecord shards such as ``validation-00000-of-00128``, as TF-Slim writes them.

    Args:
        classes: the number of classes of the network; wnids need one of 1001.
        limit: the largest number of images; they are spread evenly over the list.

    Raises:
        EvaluationError: it has none of these layouts, or a label is unknown.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise EvaluationError(f"cannot read the folder of images {folder}: {error.strerror}") from error
    folders = [entry for entry in entries if entry.is_dir()]
    images = [entry.name for entry in entries if entry.suffix.lower() in SUFFIXES and not entry.is_dir()]
    shards = [match for entry in entries if not entry.is_dir() and (match := _SHARD.fullmatch(entry.name))]
    warnings: list[str] = []
    if shards:
        layout, items = "records", _records(folder, shards, warnings)
    elif images:
        layout, items = "flat", _flat(folder, images, labels, classes, warnings)
    elif any(_WNID.fullmatch(entry.name) for entry in folders):
        layout, items = "folders", _folders(folders, classes)
    else:
        found = ", ".join(entry.name for entry in entries[:3]) + (", …" if len(entries) > 3 else "")
        raise EvaluationError(
            f"{folder} holds {found or 'nothing'}: expected folders named by wnid (n01440764), image files, or "
            f"TFRecord shards (validation-00000-of-00128)"
        )
    if labels and layout != "flat":
        raise EvaluationError(f"{folder} holds {layout}, which have their own labels: leave out --labels")
    if not items:
        raise EvaluationError(f"{folder} holds {layout}, but no image in them ({', '.join(SUFFIXES)})")
    warnings += _misnumbered(items)
    return DataSet(folder, layout, _limited(items, limit), len(items), tuple(warnings))


def _limited(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    if limit is None or limit >= len(items):
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def _folders(folders: Iterable[Path], classes: int) -> list[Item]:
    items = []
    for folder in folders:
        label = _label(folder.name, classes, f"the folder {folder}")
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES)
        items += [Item(f"{folder.name}/{name}", None, label) for name in names if not name.startswith(".")]
    return items


def _flat(folder: Path, images: list[str], labels: Path | None, classes: int, warnings: list[str]) -> list[Item]:
    if labels is None:
        raise EvaluationError(
            f"{folder} holds {len(images):,} images without labels: pass --labels with a file of wnids"
        )
    if labels.name == _GROUND_TRUTH:
        raise EvaluationError(
            f"{labels} numbers the classes in the order of the development kit, not the network's:\n"
            f"pass a file of wnids, such as imagenet_2012_validation_synset_labels.txt"
        )
    lines = _lines(labels)
    if all(len(line.split()) == 1 and "," not in line for _, line in lines):
        by_name = _in_order(images, lines, labels)
    else:
        by_name = _by_name(lines, labels)
    unlabelled = [name for name in images if name not in by_name and Path(name).stem not in by_name]
    if unlabelled:
        raise EvaluationError(
            f"{labels} has no label for {len(unlabelled):,} of {len(images):,} images; the first is {unlabelled[0]}"
        )
    items = []
    for name in images:
        number, text = by_name.get(name) or by_name[Path(name).stem]
        items.append(Item(name, None, _label(text, classes, f"line {number} of {labels}")))
    return items


def _lines(labels: Path) -> list[tuple[int, str]]:
    """The lines that are not empty, with their numbers."""
    try:
        text = labels.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise EvaluationError(f"cannot read the labels {labels}: {reason}") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _in_order(images: list[str], lines: list[tuple[int, str]], labels: Path) -> dict[str, tuple[int, str]]:
    if len(lines) == len(images):
        return dict(zip(images, lines, strict=True))
    # For a subset of the validation images, the number in a file name is the line of its label.
    numbers = [int(match["number"]) for name in images if (match := _VALIDATION_IMAGE.match(name))]
    if (
        len(lines) == _VALIDATION_IMAGES
        and len(numbers) == len(images)
        and 1 <= min(numbers) <= max(numbers) <= len(lines)
    ):
        return {name: lines[number - 1] for name, number in zip(images, numbers, strict=True)}
    raise EvaluationError(
        f"{labels} has {len(lines):,} labels for {len(images):,} images: expected one for each, in the order of the "
        f"file names, or lines with file name and label"
    )


def _by_name(lines: list[tuple[int, str]], labels: Path) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for number, line in lines:
        separator = next((sign for sign in "\t," if sign in line), None)
        name, *rest = line.split(separator, 1)
        # Whatever follows the label, such as the boxes of LOC_val_solution.csv, is ignored.
        label = rest[0].replace(",", " ").replace("\t", " ").split()[:1] if rest else []
        if not label:
            raise EvaluationError(f"line {number} of {labels} is {line[:60]!r}: expected a file name and a label")
        name = name.strip().rsplit("/", 1)[-1]
        if name in found and found[name][1] != label[0]:
            raise EvaluationError(f"{labels} has two labels for {name}, in lines {found[name][0]} and {number}")
        found[name] = (number, label[0])
    return found


def _label(text: str, classes: int, where: str) -> int:
    """The index of a class from a wnid or a number."""
    if _WNID.fullmatch(text):
        if classes != IMAGENET_CLASSES:
            raise EvaluationError(
                f"{where} has the wnid {text}, but the artifact has {classes} classes: wnids are for ImageNet's "
                f"{IMAGENET_CLASSES}"
            )
        if text not in class_of_wnid():
            raise EvaluationError(
                f"{where} has the wnid {text}, which is none of ImageNet's 1000 classes (ILSVRC-2012)"
            )
        return class_of_wnid()[text]
    if not (text.isascii() and text.isdecimal()):
        raise EvaluationError(f"{where} has the label {text[:60]!r}: expected a wnid such as n01440764")
    if not 1 <= int(text) < classes:
        raise EvaluationError(
            f"{where} has the label {text}, expected 1 to {classes - 1}, as the network numbers classes (0 is the "
            f"background);\nwnids are safer, as other numberings are common"
        )
    return int(text)


def _records(folder: Path, shards: list[re.Match[str]], warnings: list[str]) -> list[Item]:
    splits: dict[tuple[str, str], list[str]] = {}
    for match in shards:
        splits.setdefault((match["split"], match["shards"]), []).append(match[0])
    if len(splits) > 1:
        splits = {key: names for key, names in splits.items() if "val" in key[0]} or splits
    if len(splits) > 1:
        names = ", ".join(f"{split}-…-of-{count}" for split, count in splits)
        raise EvaluationError(f"{folder} holds several data sets ({names}): expected validation-00000-of-00128 and on")
    ((split, count), names_of_shards), *_ = splits.items()
    if len(names_of_shards) != int(count):
        warnings.append(f"{folder} holds {len(names_of_shards)} of the {int(count)} shards of {split}")
    return [Item(name, offset, None) for name in names_of_shards for offset in _offsets(folder / name)]


def _offsets(path: Path) -> list[int]:
    """The offsets of the records of a TFRecord file; only the lengths of records are read."""
    offsets, offset = [], 0
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            while offset < size:
                file.seek(offset)
                header = file.read(_HEADER.size)
                end = offset + _HEADER.size + _FOOTER_SIZE
                if len(header) == _HEADER.size:
                    end += _HEADER.unpack(header)[0]
                if len(header) < _HEADER.size or end > size:
                    raise EvaluationError(
                        f"{path} is no whole TFRecord file: the record at byte {offset} goes beyond its {size:,} bytes "
                        f"(compressed ones are not read)"
                    )
                offsets.append(offset)
                offset = end
    except OSError as error:
        raise EvaluationError(f"cannot read {path}: {error.strerror}") from error
    return offsets


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
