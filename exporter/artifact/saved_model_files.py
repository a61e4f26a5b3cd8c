"""The files that both formats have: the graph, and the values beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf


def write(folder: Path, graph: bytes, values: Mapping[str, Any]) -> None:
    """Writes a SavedModel into ``folder``, which must not exist.

    Args:
        graph: the content of ``saved_model.pb``.
        values: tensors by the keys that the file of variables has them under.
    """
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    keys = sorted(values)
    tf.raw_ops.SaveV2(
        prefix=str(folder / "variables" / "variables"),
        tensor_names=keys,
        shape_and_slices=[""] * len(keys),
        tensors=[values[key] for key in keys],
    )
    (folder / "saved_model.pb").write_bytes(graph)
