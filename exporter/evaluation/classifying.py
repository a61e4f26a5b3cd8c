"""Classifies images in a process of its own, for the command and the package; each image by itself right or wrong."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import ImageError
from exporter.evaluation.classifier import Classifier
from exporter.evaluation.dataset import listed
from exporter.evaluation.engine import fitting
from exporter.evaluation.image_files import require_image
from exporter.evaluation.jobs import PREDICT, Image, PredictedImage, PredictRequest, PredictResult
from exporter.processes import run
from exporter.progress import Listener, Say


@dataclass(frozen=True)
class Classified:
    """What was found in each of ``images``, in their order; ``result`` is None where none of them could be read."""

    images: tuple[Image, ...]
    found: tuple[PredictedImage, ...]
    result: PredictResult | None


def images_of(paths: Sequence[Path], warn: Say) -> tuple[Image, ...]:
    """The images that paths mean: a file itself, a folder all that it holds, see `exporter.evaluation.dataset.listed`.

    Raises:
        EvaluationError: a folder holds none.
    """
    images: list[Image] = []
    for path in paths:
        if path.is_dir():
            data_set = listed(path, None, None)
            for text in data_set.warnings:
                warn(text)
            images += data_set.images(0, len(data_set.items))
        else:
            images.append(Image(path))
    return tuple(images)


def classify(
    classifier: Classifier,
    path: Path,
    images: tuple[Image, ...],
    top: int,
    progress: Callable[[], contextlib.AbstractContextManager[Listener]],
    debug: bool,
) -> Classified:
    """Finds the ``top`` likeliest classes of images; no process starts where none of them can be read.

    Args:
        path: the artifact of ``classifier``.
        progress: begun with two steps where there is anything to do.

    Raises:
        ArtifactError: the artifact does not load, or does not classify.
    """
    found: dict[int, PredictedImage] = {}
    for place, image in enumerate(images):
        try:
            if image.offset is None:
                require_image(image.file)
        except ImageError as error:
            found[place] = PredictedImage((), str(error))
    todo = [place for place in range(len(images)) if place not in found]
    result: PredictResult | None = None
    if todo:
        request = PredictRequest(classifier.to_load(), tuple(images[place] for place in todo), top)
        with progress() as listener:
            result = run.run(fitting(PREDICT, [path]), request, listener.step, debug).result
        found |= dict(zip(todo, result.images, strict=True))
    return Classified(images, tuple(found[place] for place in range(len(images))), result)
