"""A copy of a SavedModel or TF1 Hub module with another graph, whose values and assets are links."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def written(path: Path, saved_model: Any, scratch: Path) -> Iterator[Path]:
    """A copy of the artifact in ``path`` with this ``SavedModel`` protobuf.

    It lies in ``scratch``, whose owner removes it should this process be killed.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        copy = Path(folder)
        for part in path.iterdir():
            if part.is_dir():
                (copy / part.name).symlink_to(part.absolute(), target_is_directory=True)
        (copy / "saved_model.pb").write_bytes(saved_model.SerializeToString())
        yield copy
