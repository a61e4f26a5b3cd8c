"""What is in images, as an artifact sees them."""

from dataclasses import dataclass
from pathlib import Path

from nasexport import _html
from nasexport.results.sequence import SequenceOf


@dataclass(frozen=True)
class ClassProbability:
    """A class that an image may be of: its index among the network's outputs, its wnid (None for the background, and
    for networks of other classes than ImageNet's), its name, and its probability from 0 to 1.
    """

    index: int
    wnid: str | None
    name: str
    probability: float


@dataclass(frozen=True)
class ImagePrediction:
    """The likeliest classes of an image, the likeliest first; none where ``error`` says why it cannot be read."""

    path: Path
    classes: tuple[ClassProbability, ...]
    error: str | None = None


@dataclass(frozen=True, repr=False)
class Predictions(SequenceOf[ImagePrediction]):
    """What `nasexport.predict` found in each image, in their order; a sequence of `ImagePrediction`.

    Attributes:
        path: the artifact.
        model: the name of its model, None where it is not known.
        synthetic: whether its weights are made up, so that the classes mean nothing.
        image_size: height and width in pixels that images were resized to; None where none could be read.
        device: what the network ran on, for people.
    """

    path: Path
    model: str | None
    synthetic: bool
    image_size: tuple[int, int] | None
    device: str | None
    images: tuple[ImagePrediction, ...]

    @property
    def _items(self) -> tuple[ImagePrediction, ...]:
        return self.images

    def __repr__(self) -> str:
        shown = [f"{each.path.name}: {_best(each)}" for each in self.images[:5]]
        more = f", and {len(self.images) - 5:,} more" if len(self.images) > 5 else ""
        return f"<Predictions {', '.join(shown)}{more}>"

    def _repr_html_(self) -> str:
        rows = [
            (image.path, f"{100 * each.probability:.2f} %", each.name, each.wnid)
            for image in self.images
            for each in image.classes
        ]
        rows += [(image.path, "", image.error, "") for image in self.images if image.error]
        warning = "; SYNTHETIC weights: the classes mean nothing" if self.synthetic else ""
        return _html.table(f"{self.path}{warning}", ("image", "probability", "class", "wnid"), rows)


def _best(image: ImagePrediction) -> str:
    if not image.classes:
        return image.error or "nothing"
    return f"{image.classes[0].name} ({100 * image.classes[0].probability:.1f} %)"
