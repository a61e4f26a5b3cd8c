"""Small versions of pictures for a page, as ``data:`` addresses."""

import base64
import importlib.util
import io
from collections.abc import Iterable

from exporter.errors import ImageError
from exporter.evaluation.dataset import DataSet
from exporter.evaluation.image_files import content_of, kind_of
from exporter.evaluation.pillow_decoding import bounded, opened

_SIDE = 160


def thumbnails(dataset: DataSet, names: Iterable[str]) -> dict[str, str]:
    """Thumbnails of pictures that are files, by their names; without Pillow there are none, nor of damaged pictures."""
    wanted = set(names)
    if not wanted or importlib.util.find_spec("PIL") is None:
        return {}
    found = {}
    for item in dataset.items:
        if item.name in wanted and item.offset is None:
            try:
                found[item.name] = _small(content_of(dataset.folder / item.file), item.name)
            except ImageError:
                continue
    return found


def _small(content: bytes, name: str) -> str:
    with opened(content, kind_of(content, name), name) as image:
        bounded(image.height, image.width, name)
        image.draft("RGB", (_SIDE, _SIDE))
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
