"""What can be known of image files without decoding them."""

from pathlib import Path

from exporter.errors import ImageError

#: The part of the height and of the width that evaluation looks at, TF-Slim's.
CENTRAL_FRACTION = 0.875
#: Names that count as images in a folder, in small letters.
SUFFIXES = (".jpeg", ".jpg", ".png")

_KINDS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_LONGEST = max(map(len, _KINDS))


def kind_of(content: bytes, name: str) -> str:
    """What the content is, "JPEG" or "PNG": ImageNet has PNG files whose names end in ``.JPEG``.

    Args:
        content: the bytes of the file, or the first of them.
        name: what to call it in a message.

    Raises:
        ImageError: it is neither.
    """
    for start, kind in _KINDS.items():
        if content.startswith(start):
            return kind
    what = "is empty" if not content else "is neither JPEG nor PNG"
    raise ImageError(f"{name} {what}: expected an image in one of these formats")


def require_image(path: Path) -> None:
    """Looks at the start of a file.

    Raises:
        ImageError: it cannot be read, or is neither JPEG nor PNG.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(_LONGEST)
    except OSError as error:
        raise ImageError(f"cannot read the image {path}: {error.strerror}") from error
    kind_of(start, str(path))
