"""`nasexport.predict`."""

from collections.abc import Sequence
from pathlib import Path

from exporter.errors import ImageError
from exporter.evaluation.jobs import PREDICT, Image, PredictedImage, PredictRequest, PredictResult
from exporter.models.classes import described
from exporter.processes import run
from exporter.processes.job import Device
from nasexport import _progress
from nasexport._arguments import StrPath, computing_on, config_of, listed, path_of, within
from nasexport._progress import Progress
from nasexport.results import ClassProbability, ImagePrediction, Predictions


def predict(
    path: StrPath,
    images: StrPath | Sequence[StrPath],
    *,
    top: int = 5,
    model: StrPath | None = None,
    trust: bool = False,
    device: Device | None = None,
    progress: Progress = True,
    debug: bool = False,
) -> Predictions:
    """The most likely classes of images, as ``nasexport predict`` finds them.

    Images are preprocessed as in the evaluation of the published checkpoints. One that cannot be read has no classes,
    and ``error`` says why.

        >>> import nasexport
        >>> found = nasexport.predict("dist/google/imagenet/nasnet_large/classification/4", "cat.jpg")  # doctest: +SKIP
        >>> found[0].classes[0].name  # doctest: +SKIP
        'tabby'

    Args:
        path: the folder of a classification artifact.
        images: the file of an image, or of several: JPEG or PNG; with ``nasexport[images]``, WebP, BMP and TIFF.
        top: how many classes to return for each.
        model: what an artifact is of that nasexport did not write: a name, or the path of a ``.yaml`` file.
        trust: whether to load what can do more than compute, such as write files.
        device: ``"cpu"`` or ``"gpu"``; by default a graphics card, where there is one that works.
        progress, debug: as for `nasexport.build`.

    Raises:
        ArtifactError: the artifact is missing or damaged, or does not classify.
        ConfigError: it is of another model than ``model``.
    """
    # They import NumPy.
    from exporter.evaluation.classifier import Classifier
    from exporter.evaluation.image_files import require_image

    within("top", top, 1, 10**6)
    files = [path_of(image) for image in listed(images) or ()]
    classifier = Classifier.of(path_of(path), config_of(model) if model is not None else None, trust)
    found: dict[int, PredictedImage] = {}
    for place, file in enumerate(files):
        try:
            require_image(file)
        except ImageError as error:
            found[place] = PredictedImage((), str(error))
    todo = [place for place in range(len(files)) if place not in found]
    result: PredictResult | None = None
    if todo:
        request = PredictRequest(classifier.to_load(), tuple(Image(files[place]) for place in todo), top)
        with _progress.shown(progress, "predict", 2) as listener, computing_on(device):
            result = run.run(PREDICT, request, listener.step, debug).result
        found |= dict(zip(todo, result.images, strict=True))
    return Predictions(
        path=classifier.path,
        model=classifier.config.name if classifier.config else None,
        synthetic=classifier.synthetic is not None,
        image_size=result.image_size if result else None,
        device=result.device if result else None,
        images=tuple(_prediction(file, found[place], classifier.classes) for place, file in enumerate(files)),
    )


def _prediction(file: Path, image: PredictedImage, classes: int) -> ImagePrediction:
    likeliest = tuple(ClassProbability(index, *described(index, classes), share) for index, share in image.classes)
    return ImagePrediction(file, likeliest, image.problem)
