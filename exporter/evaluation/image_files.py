"""Recognizes image files without decoding them."""

from pathlib import Path

from exporter.errors import ImageError

#: The fraction of height and width that the central crop keeps, as in TF-Slim.
CENTRAL_FRACTION = 0.875
#: Suffixes of the files that count as images, in lower case: also those that are refused, for none to be passed over.
SUFFIXES = (
    *(".jpeg", ".jpg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".gif", ".heic", ".heif", ".avif", ".jp2"),
)

_KINDS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_LONGEST = max(map(len, _KINDS))


def kind_of(content: bytes, name: str) -> str:
    """The format of an image, "JPEG" or "PNG", from its content: ImageNet has PNG files whose names end in ``.JPEG``.

    Args:
        content: the file's bytes, or its first bytes.
        name: the name of the image in messages.

    Raises:
        ImageError: it has neither format.
    """
    for start, kind in _KINDS.items():
        if content.startswith(start):
            return kind
    what = "is empty" if not content else "is neither JPEG nor PNG"
    raise ImageError(f"{name} {what}: expected an image in one of these formats")


def require_image(path: Path) -> None:
    """Checks that a file starts like an image.

    Raises:
        ImageError: the file cannot be read, or is neither JPEG nor PNG.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(_LONGEST)
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror}") from error
    kind_of(start, str(path))
