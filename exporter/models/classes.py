"""The classes of ImageNet (ILSVRC-2012) in the order of the published networks' outputs."""

import functools
from dataclasses import dataclass

from exporter.resources import resource

#: The number of outputs of a network trained on ImageNet: class 0 is "background", the others are sorted by wnid.
IMAGENET_CLASSES = 1001


@dataclass(frozen=True)
class ClassName:
    """A class: WordNet's number of the synset ("-" for the background), and a name that no other class has."""

    wnid: str
    name: str


@functools.cache
def class_names() -> tuple[ClassName, ...]:
    """All 1001 classes; the index is that of the network's output."""
    lines = resource("data/class_names.txt").read_text(encoding="utf-8").splitlines()
    return tuple(ClassName(*line.split("\t")) for line in lines)


@functools.cache
def class_of_wnid() -> dict[str, int]:
    """From a wnid, such as ``n01440764``, to the index of its class, from 1 to 1000."""
    return {known.wnid: index for index, known in enumerate(class_names()) if index > 0}


def first_class(classes: int) -> int:
    """The first class that an image can have in a network with that many: ImageNet's is "background", which none has.

    Networks with classes of their own have none for the background: TF-Slim's ``flowers`` are 0 to 4.
    """
    return 1 if classes == IMAGENET_CLASSES else 0


def described(index: int, classes: int) -> tuple[str | None, str]:
    """The wnid and the name of an output of a network with that many classes; only ImageNet's have a wnid."""
    if classes != IMAGENET_CLASSES:
        return None, f"class {index}"
    known = class_names()[index]
    return (known.wnid if index else None), known.name
