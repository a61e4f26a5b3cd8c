"""What other tests make, too: a small release, and artifacts of other formats than TensorFlow's."""

from tests.artifact.test_keras_artifact import output as tiny_keras
from tests.artifact.test_litert_artifact import artifact as tiny_litert
from tests.release.conftest import inputs, inputs_of_one, released_of_one

__all__ = ["inputs", "inputs_of_one", "released_of_one", "tiny_keras", "tiny_litert"]
