"""A checkpoint as TensorFlow's reader sees it, in every format that has been one's."""

from pathlib import Path
from typing import Any

import tensorflow as tf

#: What TensorFlow's reader raises for files that are damaged; IndexError for those that are cut short, TypeError and
#: KeyError for types that are none.
_ERRORS = (tf.errors.OpError, ValueError, RuntimeError, IndexError, TypeError, KeyError)


class TensorFlowReader:
    """A checkpoint's variables by their keys, as `exporter.checkpoint.bundle.Bundle` has them.

    Args:
        path: its prefix, without characters that TensorFlow takes for a pattern.
        name: what messages call it.

    Raises:
        ValueError: it is damaged, or cannot be read.
    """

    def __init__(self, path: Path, name: str):
        self._path, self._name = str(path), name
        try:
            self._reader = tf.compat.v1.train.NewCheckpointReader(self._path)
            shapes, types = self._reader.get_variable_to_shape_map(), self._reader.get_variable_to_dtype_map()
        except _ERRORS as error:
            raise self._unreadable(error) from error
        self._types = types
        self.shapes: dict[str, tuple[int, ...]] = {key: tuple(shape) for key, shape in shapes.items()}
        self.types: dict[str, str] = {key: type_.name for key, type_ in types.items()}

    def read(self, key: str) -> Any:
        """The value of a variable: an array, bytes for a string, or a tensor of what NumPy does not know.

        Raises:
            ValueError: it is damaged, or cut off.
        """
        type_ = self._types[key]
        try:
            if type_ != tf.variant:
                return self._reader.get_tensor(key)
            return tf.raw_ops.RestoreV2(prefix=self._path, tensor_names=[key], shape_and_slices=[""], dtypes=[type_])[0]
        except _ERRORS as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(str(error).replace(self._path, self._name))
