"""`nasexport.predict`."""

from collections.abc import Sequence
from pathlib import Path

from exporter.evaluation.jobs import PredictedImage
from exporter.models.classes import described
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
        images: the file of an image, or of several: JPEG or PNG; with ``nasexport[images]``, WebP, BMP and TIFF. A
            folder stands for all images anywhere below it.
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
    from exporter.evaluation.classifying import classify, images_of

    within("top", top, 1, 10**6)
    artifact = path_of(path)
    classifier = Classifier.of(artifact, config_of(model) if model is not None else None, trust)
    given = images_of([path_of(image) for image in listed(images) or ()], _progress.warn)
    with computing_on(device):
        classified = classify(classifier, artifact, given, top, lambda: _progress.shown(progress, "predict", 2), debug)
    result = classified.result
    return Predictions(
        path=classifier.path,
        model=classifier.config.name if classifier.config else None,
        synthetic=classifier.synthetic is not None,
        image_size=result.image_size if result else None,
        device=result.device if result else None,
        images=tuple(
            _prediction(Path(image.name), found, classifier.classes)
            for image, found in zip(classified.images, classified.found, strict=True)
        ),
    )


def _prediction(file: Path, image: PredictedImage, classes: int) -> ImagePrediction:
    likeliest = tuple(ClassProbability(index, *described(index, classes), share) for index, share in image.classes)
    return ImagePrediction(file, likeliest, image.problem)
