"""Recognizes image files without decoding them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import ImageError
from exporter.evaluation.opening import NoFileError, opened, size_of

#: Suffixes of the files that count as images, in lower case: also those that are refused, for none to be passed over.
SUFFIXES = (
    *(".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".gif", ".heic", ".heif", ".avif", ".jp2"),
)
#: What TensorFlow decodes, and what Pillow does.
KINDS = ("JPEG", "PNG")
PILLOW_KINDS = ("WebP", "BMP", "TIFF")
#: The largest file that is read; no image of as many pixels as are allowed needs more.
MAX_BYTES = 2**30

#: How files begin.
_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
}
#: The brands of files that begin with the length of a box "ftyp".
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF"}
_LONGEST = 12


def kind_of(content: bytes, name: str) -> str:
    """The format of an image, one of `KINDS` or `PILLOW_KINDS`, from its content: ImageNet has PNG files whose names
    end in ``.JPEG``.

    Args:
        content: the file's bytes, or its first bytes.
        name: the name of the image in messages.

    Raises:
        ImageError: it has none of these formats.
    """
    kind = _kind(content)
    if kind in (*KINDS, *PILLOW_KINDS):
        return kind
    if not content:
        raise ImageError(f"{name} is empty: expected an image")
    what = f"is a {kind} image" if kind else "is neither JPEG nor PNG"
    raise ImageError(
        f"{name} {what}: expected {', '.join(KINDS)} or, with nasexport[images], {', '.join(PILLOW_KINDS)}"
    )


def _kind(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "")
    return next((kind for start, kind in _STARTS.items() if content.startswith(start)), "")


def require_image(path: Path) -> None:
    """Checks that a file starts like an image.

    Raises:
        ImageError: the file cannot be read, or has none of the formats that are.
    """
    kind_of(_read(path, _LONGEST), str(path))


def content_of(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: the file cannot be read, or is too large.
    """
    return _read(path, MAX_BYTES)


def piece_of(path: Path, offset: int, size: int) -> bytes:
    """Bytes from the middle of a file of many images: fewer than ``size`` where it ends before.

    Raises:
        ImageError: the file cannot be read.
    """
    with _reading(path), opened(path) as file:
        file.seek(offset)
        return file.read(size)


def _read(path: Path, at_most: int) -> bytes:
    with _reading(path), opened(path) as file:
        if (size := size_of(file)) > MAX_BYTES:
            raise ImageError(f"{path} has {size:,} bytes, more than the {MAX_BYTES:,} that are read of an image")
        return file.read(at_most)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Within it, what keeps a file from being read is an ImageError."""
    try:
        yield
    except NoFileError as error:
        raise ImageError(f"{path} {error}: expected the file of an image") from error
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror}") from error
    except ValueError as error:  # a name with a NUL
        raise ImageError(f"cannot read the image {str(path)!r}: {error}") from error


def is_missing(error: ImageError) -> bool:
    """Whether there is no such image: then a list is wrong, or a disk is not there, and no image is broken."""
    return isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
