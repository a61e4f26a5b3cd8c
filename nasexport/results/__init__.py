"""What the functions return: dataclasses, each with a line for a terminal and a table for a notebook."""

from nasexport.results.checks import Check, Verification
from nasexport.results.described import ArtifactDescription, CheckpointDescription
from nasexport.results.made import Artifact, BuildResult, ReleasedArtifact, ReleaseResult
from nasexport.results.models import ModelInfo, Models
from nasexport.results.predicted import ClassProbability, ImagePrediction, Predictions

__all__ = [
    "Artifact",
    "ArtifactDescription",
    "BuildResult",
    "Check",
    "CheckpointDescription",
    "ClassProbability",
    "ImagePrediction",
    "ModelInfo",
    "Models",
    "Predictions",
    "ReleaseResult",
    "ReleasedArtifact",
    "Verification",
]
