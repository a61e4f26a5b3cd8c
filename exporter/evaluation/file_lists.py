"""Files that list pictures, a line each, perhaps with labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from exporter.errors import EvaluationError
from exporter.evaluation.image_files import SUFFIXES
from exporter.evaluation.labels import quoted_fields
from exporter.evaluation.opening import NoFileError, opened

LIST_SUFFIXES = (".txt", ".lst", ".list", ".csv", ".tsv")
#: No path is longer, and no label adds much.
_LONGEST = 2**16
#: What the first column of a table of pictures is called, in a first line that is none of a picture.
_TITLES = {"path", "file", "filename", "file_name", "file_path", "filepath", "image", "image_path", "image_file"}
_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line's number, the path in it, and its label as a text; None without one."""

    number: int
    path: str
    label: str | None


def lines(path: Path) -> Iterator[Line]:
    """What a list says: a path in each line and, after a tab or a comma (.csv), a label.

    A label may also come after spaces, where the name before it ends like a picture. Names in a .csv may be in quotes,
    and its first line may have titles. Empty lines are passed over.

    Raises:
        EvaluationError: it cannot be read, or is no text.
    """
    commas = path.suffix.lower() == ".csv"
    number = 0
    try:
        with opened(path) as file:
            while line := file.readline(_LONGEST + 1):
                number += 1
                if len(line) > _LONGEST or b"\0" in line:
                    raise EvaluationError(f"line {number} of {path} is no path: it has a NUL, or no end")
                # Names of files need not be UTF-8.
                text = line.removeprefix(_MARK if number == 1 else b"").decode("utf-8", "surrogateescape").strip()
                if not text:
                    continue
                fields = quoted_fields(text, f"line {number} of {path}") if commas else text.split("\t")
                if not fields[0].strip():
                    raise EvaluationError(f"line {number} of {path} is {text[:60]!r}: expected a path, and a label")
                if number == 1 and fields[0].strip().lower() in _TITLES:
                    continue
                yield _line(number, fields)
    except NoFileError as error:
        raise EvaluationError(f"{path} {error}: expected a list of images") from error
    except OSError as error:
        raise EvaluationError(f"cannot read the list {path}: {error.strerror}") from error


def _line(number: int, fields: list[str]) -> Line:
    name, *more = (field.strip() for field in fields)
    if more:
        return Line(number, name, more[0] or None)
    before, _, last = name.rpartition(" ")
    if before.rstrip().lower().endswith(SUFFIXES):
        return Line(number, before.rstrip(), last)
    return Line(number, name, None)
