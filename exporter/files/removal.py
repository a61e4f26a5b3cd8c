"""Removes files beside other work: on a disk that is being written to, that takes seconds."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class Remover:
    """Removes folders in a thread of its own; as a context manager it waits for that at its end."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "remover")

    def __enter__(self) -> "Remover":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()

    def remove(self, folder: Path) -> None:
        """Removes a folder soon; what cannot be removed stays."""
        self._executor.submit(shutil.rmtree, folder, ignore_errors=True)

    def empty(self, folder: Path) -> None:
        """Removes soon what is now in a folder."""
        for path in folder.iterdir():
            self.remove(path)
