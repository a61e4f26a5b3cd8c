"""`nasexport.load`."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.artifact import packed, trust
from exporter.artifact.folder import require_readable
from exporter.artifact.metadata import read_metadata
from exporter.errors import ArtifactError, reason
from exporter.files.plain_path import plain
from exporter.models.config import Task
from exporter.models.formats import Format, FormatSpec
from nasexport import _html
from nasexport._arguments import StrPath, path_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


class LoadedArtifact:
    """An artifact in this process, a function of images.

    Attributes:
        path: where it was loaded from.
        format: its format.
        model: the name of its model, and ``task``; both None for an artifact of another program.
        image_size: height and width of its images in pixels, None where it takes any.
    """

    def __init__(
        self,
        path: Path,
        spec: FormatSpec,
        model: str | None,
        task: Task | None,
        image_size: tuple[int, int] | None,
        call: Callable[[Any], Any],
    ):
        self.path, self.model, self.task, self.image_size = path, model, task, image_size
        self.format: Format = spec.name
        self._call, self._takes_tensors = call, spec.runs_with_tensorflow

    def __call__(self, images: "ArrayLike") -> "NDArray[np.float32]":
        """The logits [batch, classes] or feature vectors [batch, features] of images, for inference.

        Args:
            images: [batch, height, width, 3], RGB from 0 to 1.

        Raises:
            ValueError: they are none, or of another size.
            ArtifactError: the artifact cannot be run.
        """
        import numpy as np

        found = np.asarray(images)
        self._require_images(found)
        found = np.ascontiguousarray(found, np.float32)
        try:
            return np.asarray(self._call(self._tensor(found)), np.float32)
        except Exception as error:  # those of each format's library
            raise ArtifactError(f"{self.path} cannot be called with images: {reason(error)}") from error

    def _tensor(self, images: "NDArray[np.float32]") -> Any:
        if not self._takes_tensors:
            return images
        # Not an import statement, by which all of nasexport would be taken to import TensorFlow.
        return importlib.import_module("tensorflow").constant(images)

    def _require_images(self, images: "NDArray[Any]") -> None:
        size = self.image_size or images.shape[1:3]
        if images.ndim != 4 or images.shape[1:] != (*size, 3):
            sides = " x ".join(map(str, self.image_size)) if self.image_size else "height x width"
            raise ValueError(f"the images have the shape {images.shape}, expected batch x {sides} x 3")
        if images.dtype.kind != "f":
            raise ValueError(f"the images are of {images.dtype}, expected floats from 0 to 1: divide bytes by 255")

    def _facts(self) -> str:
        size = " x ".join(map(str, self.image_size)) if self.image_size else "any size"
        what = f"{self.model} {self.task}" if self.model else "of another program"
        return f"{what}, {self.format}, images of {size}"

    def __repr__(self) -> str:
        return f"<LoadedArtifact {str(self.path)!r}: {self._facts()}>"

    def _repr_html_(self) -> str:
        names = ("model", "task", "format", "image_size")
        return _html.facts(str(self.path), [(name, getattr(self, name)) for name in names])


def load(path: StrPath, *, trust: bool = False) -> LoadedArtifact:
    """Loads an artifact of any format into this process, ready to be called with images, for inference.

    It imports what runs the format, and no more: ONNX Runtime for ``onnx``, LiteRT for ``litert``, PyTorch for
    ``pytorch`` and ``timm``, TensorFlow for the others. For training, use `nasexport.keras_layer`, or ``hub.load``.

        >>> import nasexport
        >>> network = nasexport.load("dist/google/imagenet/nasnet_large/classification/onnx")  # doctest: +SKIP
        >>> network(images).shape  # doctest: +SKIP
        (2, 1001)

    Args:
        path: the folder of an artifact, or a ``.tar.gz`` of it.
        trust: whether to load what can do more than compute, such as write files.

    Raises:
        ArtifactError: there is no artifact, it does not load, or it can do more than compute.
        MachineError: a package is missing that runs the format.
    """
    place = path_of(path)
    with packed.opened(place) as folder, plain(folder) as readable:
        spec = require_readable(folder, running=True)
        _require_trusted(folder, trust)
        loaded = pkgutil.resolve_name(spec.load)(readable)
        metadata = read_metadata(folder)
    model, task = (metadata.model.name, metadata.task) if metadata else (None, None)
    return LoadedArtifact(place, spec, model, task, loaded.image_size, loaded.call)


def _require_trusted(folder: Path, trusted: bool) -> None:
    if not trusted:
        trust.require(folder)
