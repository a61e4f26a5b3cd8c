"""The addresses that artifacts were published under, which programs still have in them.

tfhub.dev's were a handle behind its name. In 2023 its models moved to Kaggle, which has names of its own:
``google/imagenet/nasnet_mobile/classification/5`` became ``google/nasnet/TensorFlow2/mobile-classification/2``, the
second version for TensorFlow 2. Programs have that address of Kaggle's in both of its forms; the others follow its
pattern, and those of PNASNet were found in no program.
"""

from dataclasses import dataclass

from exporter.models.config import Task
from exporter.models.formats import FORMATS, Format, Version

#: What a handle comes behind on tfhub.dev, and the hosts that Kaggle answers under.
TFHUB = "https://tfhub.dev/"
KAGGLE = ("https://www.kaggle.com/models/", "https://kaggle.com/models/")
_OWNER = "google"


@dataclass(frozen=True)
class KaggleName:
    """What Kaggle calls an artifact; ``version`` counts from 1 in each framework.

    Its framework is written in several ways, such as ``tensorFlow2`` and ``MODEL_FRAMEWORK_TENSOR_FLOW_2``: here as
    ``tensorflow2``.
    """

    owner: str
    model: str
    framework: str
    variation: str
    version: int

    @property
    def unversioned(self) -> tuple[str, str, str, str]:
        """What all versions of it have in common."""
        return self.owner, self.model, self.framework, self.variation


def framework_of(text: str) -> str:
    """A framework as `KaggleName` has it, however it is written."""
    return text.lower().replace("_", "").removeprefix("modelframework")


def kaggle_name(model: str, task: Task, version: Version, format_: Format) -> KaggleName | None:
    """What Kaggle calls an artifact; None for one of a format that was never published."""
    spec = FORMATS[format_]
    if spec.kaggle_framework is None or isinstance(version, str):
        return None
    family, _, size = model.partition("_")
    variation = f"{size}-{task}" if size else task
    number = version - spec.versions[0].number + 1
    return KaggleName(_OWNER, family, framework_of(spec.kaggle_framework), variation.replace("_", "-"), number)


def addresses(model: str, task: Task, version: Version, format_: Format) -> tuple[str, ...]:
    """Every address that an artifact was published under, the one on tfhub.dev first; none for one that was not."""
    name = kaggle_name(model, task, version, format_)
    if name is None:
        return ()
    written = FORMATS[format_].kaggle_framework
    assert written
    found = [f"{TFHUB}google/imagenet/{model}/{task}/{version}"]
    for host in KAGGLE:
        for framework in (written, written[0].lower() + written[1:]):
            own = f"{host}{name.owner}/{name.model}"
            found.append(f"{own}/{framework}/{name.variation}/{name.version}")
            found.append(f"{own}/frameworks/{framework}/variations/{name.variation}/versions/{name.version}")
    return tuple(found)
