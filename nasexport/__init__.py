"""nasexport in Python: what the command of that name does, as functions.

    >>> import nasexport
    >>> nasexport.models()["nasnet_mobile"].image_size
    224

Artifacts are built, verified, described, released and run with `build`, `verify`, `inspect`, `release`, `predict` and
`load`; `keras_layer` makes a layer of Keras 3 of one. Paths are strings or `pathlib.Path`, results are dataclasses that
notebooks show as tables, and errors are those of `nasexport.errors`, all of them a `NasexportError`.

The work is done in processes of its own, as the command's is: importing nasexport imports neither TensorFlow nor NumPy.
`load` and `keras_layer` alone import, in this process, the library that runs the artifact.
"""

from exporter import __version__
from nasexport import errors
from nasexport._build import build
from nasexport._inspect import inspect
from nasexport._keras_layer import keras_layer
from nasexport._load import LoadedArtifact, load
from nasexport._models import models
from nasexport._predict import predict
from nasexport._release import release
from nasexport._settings import Settings
from nasexport._verify import verify
from nasexport.errors import NasexportError, NasexportWarning
from nasexport.results import (
    Artifact,
    ArtifactDescription,
    BuildResult,
    Check,
    CheckpointDescription,
    ClassProbability,
    ImagePrediction,
    ModelInfo,
    Models,
    Predictions,
    ReleasedArtifact,
    ReleaseResult,
    Verification,
)

__all__ = [
    "Artifact",
    "ArtifactDescription",
    "BuildResult",
    "Check",
    "CheckpointDescription",
    "ClassProbability",
    "ImagePrediction",
    "LoadedArtifact",
    "ModelInfo",
    "Models",
    "NasexportError",
    "NasexportWarning",
    "Predictions",
    "ReleaseResult",
    "ReleasedArtifact",
    "Settings",
    "Verification",
    "__version__",
    "build",
    "errors",
    "inspect",
    "keras_layer",
    "load",
    "models",
    "predict",
    "release",
    "verify",
]
