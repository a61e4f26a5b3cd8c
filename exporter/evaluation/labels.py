"""Files with the labels of images, and what a label means to a network."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from exporter.errors import EvaluationError
from exporter.models.classes import IMAGENET_CLASSES, class_of_wnid, first_class

WNID = re.compile(r"n\d{8}", re.ASCII)
_VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(?P<number>\d{8})", re.ASCII)
_VALIDATION_IMAGES = 50_000
#: This file numbers the classes in the order of the development kit, which no network uses.
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
#: A file of labels has a line for each image: no list of images is nearly as long.
_LARGEST = 2**28
#: Numbers with more digits are none of a class; Python refuses to read those with thousands.
_DIGITS = 9
#: A file name and a label with spaces between.
_SPACED = re.compile(r"(.+?)\s+(n\d{8}|\d+)(?:\s|$)", re.ASCII)


def labels_of(images: Sequence[str], path: Path, classes: int) -> list[int]:
    """The class of each image, from a file that has one label per line in the order of the file names, or a file name
    and a label per line.

    Args:
        images: the names of the files, sorted.
        classes: the number of classes of the network.

    Raises:
        EvaluationError: the file cannot be read, does not fit the images, or has a label that is none.
    """
    if path.name == _GROUND_TRUTH:
        raise EvaluationError(
            f"{path} numbers the classes in the order of the development kit, not the network's:\n"
            f"pass a file of wnids, such as imagenet_2012_validation_synset_labels.txt"
        )
    lines = _lines(path)
    if all(len(line.split()) == 1 and "," not in line for _, line in lines):
        by_name = _in_order(images, lines, path)
    else:
        by_name = _by_name(lines, path)
    unlabelled = [name for name in images if name not in by_name and Path(name).stem not in by_name]
    if unlabelled:
        raise EvaluationError(
            f"{path} has no label for {len(unlabelled):,} of {len(images):,} images; the first is {unlabelled[0]}"
        )
    found = []
    for name in images:
        number, text = by_name.get(name) or by_name[Path(name).stem]
        found.append(label_of(text, classes, f"line {number} of {path}"))
    return found


def _lines(labels: Path) -> list[tuple[int, str]]:
    """The lines that are not empty, with their numbers."""
    try:
        with open(labels, "rb") as file:
            content = file.read(_LARGEST + 1)
        # A line ends as in an editor: `str.splitlines` would end it at other signs, too.
        text = io.StringIO(content.decode("utf-8-sig"), newline=None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text (UTF-8)"
        raise EvaluationError(f"cannot read the labels {labels}: {reason}") from error
    if len(content) > _LARGEST:
        raise EvaluationError(f"{labels} has more than {_LARGEST:,} bytes: that is no file of labels")
    return [(number, line.strip()) for number, line in enumerate(text, start=1) if line.strip()]


def _in_order(images: Sequence[str], lines: list[tuple[int, str]], labels: Path) -> dict[str, tuple[int, str]]:
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
        # A name may have spaces in it: what looks like a label ends it.
        spaced = None if separator else _SPACED.match(line)
        quoted = '"' in line and separator == ","
        name, *rest = (
            spaced.groups()
            if spaced
            else quoted_fields(line, f"line {number} of {labels}")[:2]
            if quoted
            else line.split(separator, 1)
        )
        # Whatever follows the label, such as the boxes of LOC_val_solution.csv, is ignored.
        label = rest[0].replace(",", " ").replace("\t", " ").split()[:1] if rest else []
        if not label:
            raise EvaluationError(f"line {number} of {labels} is {line[:60]!r}: expected a file name and a label")
        name = re.split(r"[/\\]", name.strip())[-1]
        if name in found and found[name][1] != label[0]:
            raise EvaluationError(f"{labels} has two labels for {name[:60]!r}, in lines {found[name][0]} and {number}")
        found[name] = (number, label[0])
    return found


def quoted_fields(line: str, where: str) -> list[str]:
    """The fields of a line of CSV, where they may be in quotes.

    Raises:
        EvaluationError: it is none; ``where`` is the line, for the message.
    """
    try:
        return next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error as error:
        raise EvaluationError(f"{where} is {line[:60]!r}: expected fields with commas between them") from error


def label_of(text: str, classes: int | None, where: str) -> int:
    """The index of a class from a wnid or a number.

    Args:
        classes: the number of classes of the network; None where any number is one.
        where: names the place of the text in messages.

    Raises:
        EvaluationError: it is neither, or there is no such class.
    """
    if WNID.fullmatch(text):
        if classes not in (None, IMAGENET_CLASSES):
            raise EvaluationError(
                f"{where} has the wnid {text}, but the artifact has {classes} classes: wnids are for ImageNet's "
                f"{IMAGENET_CLASSES}"
            )
        if text not in class_of_wnid():
            raise EvaluationError(
                f"{where} has the wnid {text}, which is none of ImageNet's 1000 classes (ILSVRC-2012)"
            )
        return class_of_wnid()[text]
    if classes is None:
        if not is_number(text):
            raise EvaluationError(f"{where} has the label {text[:60]!r}: expected a wnid such as n01440764 or a number")
        return int(text)
    first = first_class(classes)
    expected = "a wnid such as n01440764" if first else f"the index of a class, from 0 to {classes - 1}"
    if not is_number(text):
        raise EvaluationError(f"{where} has the label {text[:60]!r}: expected {expected}")
    if not first <= int(text) < classes:
        why = " (0 is the background);\nwnids are safer, as other numberings are common" if first else ""
        raise EvaluationError(
            f"{where} has the label {text}, expected {first} to {classes - 1}, as the network numbers classes{why}"
        )
    return int(text)


def is_number(text: str) -> bool:
    """Whether a label is the index of a class, though perhaps not of one that the network has."""
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS
