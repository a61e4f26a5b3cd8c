"""Where an artifact goes, held while it is made, and what is there already."""

import contextlib
from pathlib import Path
from typing import Any

from exporter.artifact import folder as artifact
from exporter.artifact.existing import Existing
from exporter.artifact.metadata import Metadata, write_metadata


class Place:
    """Where an artifact goes: ``folder`` is to be written, ``existing`` is what is there and may stay.

    Use it as a context manager: no other process writes there meanwhile.
    """

    def __init__(self, target: Path, overwrite: bool):
        self.target, self._overwrite = target, overwrite
        self.existing: Existing | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> "Place":
        with contextlib.ExitStack() as stack:
            stack.enter_context(artifact.alone(self.target))
            if self.target.exists() and not self._overwrite:
                self.existing = Existing(self.target)
                self.folder = stack.enter_context(artifact.compared(self.target))
            else:
                self.folder = stack.enter_context(artifact.placed(self.target, self._overwrite))
            self._held = stack.pop_all()
        return self

    def finish(self, metadata: Metadata) -> None:
        """Moves what was written to its place, or makes sure that the same is there already.

        Raises:
            ArtifactError: what is there is something else, or the artifact cannot be moved.
        """
        if self.existing:
            self.existing.require_same(self.folder, metadata)
        with artifact.writing(self.target):
            if not self.existing:
                write_metadata(self.folder, metadata)
            self._held.close()

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)
