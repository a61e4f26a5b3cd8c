"""The run that fills an output, on this machine or in a store, continued from what is there."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from exporter.artifact import folder
from exporter.errors import EvaluationError
from exporter.evaluation.classifier import Extractor
from exporter.evaluation.dataset import DataSet
from exporter.evaluation.embedding import Embedding
from exporter.evaluation.embedding_output import Output
from exporter.evaluation.embedding_store import Place, StoredOutput
from exporter.evaluation.engine import Engine, OneProcess
from exporter.files import staging
from exporter.progress import SILENT, Listener, Say


class EmbeddingInStore(Embedding):
    """A run whose output is computed in a folder of the cache, sent to a store when it is finished, and removed here.

    What lies in the store decides; the cache only has what need not be computed again.
    """

    def __init__(self, extractor: Extractor, dataset: DataSet, place: Place, batch_size: int, identity: dict[str, Any]):
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self._folder, self._own = place.folder, place.folder / key
        suffix = PurePosixPath(place.name).suffix if place.joined else ""
        output = Output(self._own / f"features{suffix}", place.store.shown)
        output.require()
        super().__init__(extractor, dataset, output, batch_size, identity)
        self._stored = StoredOutput(place, identity)
        #: The record of what is computed, and may not be in the store yet.
        self._computed: dict[str, Any] | None = None

    @property
    def record_place(self) -> str:
        return self._stored.record

    @property
    def done(self) -> int:
        return self.total if self._computed else super().done

    def load(self) -> None:
        self._stored.require_place()
        self.found = self._stored.finished()
        if self.found is not None:
            return
        self._stored.require_usable()
        # Another run's, whose output is not in the store any more.
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path != self._own:
                shutil.rmtree(path, ignore_errors=True)
        super().load()
        self._computed, self.found = self.found, None

    def restart(self) -> None:
        self._stored.require_place()
        self._stored.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, skip_broken: bool = False, say: Say = lambda _: None, engine: Engine = OneProcess()) -> None:
        self._stored.begin()
        if not self._computed:
            super().run(skip_broken, say, engine)

    def finish(self, listener: Listener = SILENT, *, debug: bool = False) -> dict[str, Any]:
        self._computed = self._computed or super().finish(listener, debug=debug)
        self.found = None
        self._stored.send(self.output.path, self.output.record, listener)
        self.found = self._computed
        self.tidy()
        return self.found

    def tidy(self) -> None:
        self._stored.end()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def opened(
    extractor: Extractor, dataset: DataSet, output: Path | Place, batch_size: int, restart: bool = False
) -> Iterator[Embedding]:
    """The run that fills an output, continued from what is there.

    Args:
        restart: remove what is there first.

    Raises:
        MachineError: the package that writes it is not installed.
        EvaluationError: what is there is of another run, is damaged, cannot be used, or is in use; a store fails.
    """
    identity = {
        "artifact": folder.content(extractor.path),
        "images": dataset.digest(),
        "model": extractor.config.name if extractor.config else None,
        "batch_size": batch_size,
        "decoder": extractor.decoder,
    }
    embedding: Embedding
    if isinstance(output, Place):
        embedding = EmbeddingInStore(extractor, dataset, output, batch_size, identity)
        held = output.folder
    else:
        place = Output(output)
        place.require()
        embedding = Embedding(extractor, dataset, place, batch_size, identity)
        held = output
    taken = f"another nasexport is writing {embedding.place}: wait for it"
    with staging.held(held.with_name(f".{held.name}.lock"), EvaluationError, taken):
        if restart:
            embedding.restart()  # what stays in a folder is not of `embed`, and does not matter
        else:
            embedding.load()
        yield embedding
