"""A small release for the tests of the package."""

from tests.release.conftest import inputs, inputs_of_one, released_of_one

__all__ = ["inputs", "inputs_of_one", "released_of_one"]
