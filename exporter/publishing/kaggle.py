"""A model on Kaggle as the target of a release, by kagglehub: each artifact is a variation, each state of it a version.

Kaggle has no place for the manifest and the pages of a release, takes no hashes and states none, and numbers versions
itself. What an artifact says of itself (its ``nasexport.json``: checkpoint, options, versions of the tools) tells
whether it is there; after it was sent, all of its bytes are read back. Imports kagglehub, so it is imported only for
such a target.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from exporter.artifact.metadata import METADATA_FILE
from exporter.errors import NOT_DONE, WRONG, ConfigError, PublishError, ReleaseError
from exporter.fetch.stores import EXTRA, failures
from exporter.files import temporary
from exporter.files.hashing import sha256
from exporter.progress import Listener
from exporter.publishing.contents import Contents
from exporter.publishing.plan import Plan, Planned, State
from exporter.release.manifest import Record

# Both are read when the libraries are imported: neither bars nor lines of theirs go between ours.
os.environ.setdefault("KAGGLEHUB_VERBOSITY", "critical")
os.environ.setdefault("TQDM_DISABLE", "1")
try:
    import kagglehub
    from kagglehub.config import get_kaggle_credentials
    from kagglehub.exceptions import KaggleApiHTTPError
except ImportError as error:
    missing = (error.name or str(error)).partition(".")[0]
    raise ConfigError(f"{missing} is not installed: {EXTRA}", status=NOT_DONE) from error

#: What Kaggle calls the frameworks of our formats.
_FRAMEWORKS = {
    "hub": "tensorFlow1",
    "saved_model_2": "tensorFlow2",
    "keras": "keras",
    "litert": "tfLite",
    "onnx": "onnx",
    "pytorch": "pyTorch",
    "timm": "pyTorch",
}
_LICENSE = "Apache 2.0"
#: How long Kaggle may take until a new version can be read, and how often it is asked. Seconds.
_PATIENCE, _PAUSE = 900.0, 5.0


class KaggleTarget:
    """A model.

    Args:
        name: ``OWNER/MODEL``.
        read_back: whether to read all bytes of what is there, not only what artifacts say of themselves.
    """

    def __init__(self, name: str, read_back: bool):
        self.shown = f"kaggle://{name}"
        self._name, self._read_back = name, read_back

    def plan(self, contents: Contents, remove: Sequence[str], listener: Listener) -> Plan:
        """What is to be sent there, by variation; nothing is ever removed.

        Raises:
            PublishError: there are no credentials, or Kaggle does not answer.
        """
        with self._failures("cannot read"):
            if get_kaggle_credentials() is None:
                raise PublishError(f"{self.shown} needs credentials: set KAGGLE_API_TOKEN, or what kagglehub reads")
        planned = []
        for record in contents.records:
            listener.note(f"looking at {self.shown}/{_variation(record)}")
            planned.append(Planned(_variation(record), self._state(record, contents), record.size))
        return Plan(self.shown, tuple(planned))

    def publish(self, contents: Contents, plan: Plan, listener: Listener) -> None:
        """Sends each artifact that is new or changed, as a version of its variation, and reads it back.

        Raises:
            PublishError: Kaggle refuses or fails, or has other bytes afterwards.
            ReleaseError: a file of the release is no longer what it was.
        """
        wanted = {each.path for each in plan.in_state("new", "changed")}
        for record in contents.records:
            if _variation(record) not in wanted:
                continue
            listener.step(f"sending {record.handle}")
            folder = _folder(record, contents)
            for file in record.files:
                if sha256(folder / file.path.removeprefix(f"{record.place.folder}/")) != file.sha256:
                    raise ReleaseError(f"{file.path} was changed while it was published: make the release again")
            with self._failures():
                notes = f"{record.handle}, identity {record.identity}"
                kagglehub.model_upload(self._handle(record), str(folder), _LICENSE, notes)
            listener.step(f"reading {record.handle} back")
            self._require_there(record)

    def _state(self, record: Record, contents: Contents) -> State:
        with temporary.folder() as folder:
            there = self._read(record, folder, METADATA_FILE)
            if there is None:
                return "new"
            here = _folder(record, contents) / METADATA_FILE
            if there.read_bytes() != here.read_bytes():
                return "changed"
        return "changed" if self._read_back and self._difference(record) else "same"

    def _require_there(self, record: Record) -> None:
        end = time.monotonic() + _PATIENCE
        while (problem := self._difference(record)) is not None:
            if time.monotonic() > end:
                raise PublishError(
                    f"{self.shown} has another {record.handle} than was sent, {_PATIENCE:.0f} s later:\n{problem}",
                    status=WRONG,
                )
            time.sleep(_PAUSE)

    def _difference(self, record: Record) -> str | None:
        """What is wrong with the newest version of an artifact there, read as others read it; None where nothing is."""
        with temporary.folder() as folder:
            there = self._read(record, folder / "there")
            if there is None:
                return "it is not there"
            found = {path.relative_to(there).as_posix(): path for path in there.rglob("*") if path.is_file()}
            for file in record.files:
                path = found.get(file.path.removeprefix(f"{record.place.folder}/"))
                if path is None or sha256(path) != file.sha256:
                    return f"{file.path} {'is not there' if path is None else 'has other bytes'}"
        return None

    def _read(self, record: Record, folder: Path, path: str | None = None) -> Path | None:
        """What kagglehub downloads of the newest version of an artifact, a file or all; None where there is none."""
        with self._failures("cannot read"):
            try:
                handle = self._handle(record)
                return Path(kagglehub.model_download(handle, path, force_download=True, output_dir=str(folder)))
            except KaggleApiHTTPError as error:
                # Kaggle does not tell what is not there from what others may not see.
                if error.response is not None and error.response.status_code in (403, 404):
                    return None
                raise

    def _handle(self, record: Record) -> str:
        return f"{self._name}/{_variation(record)}"

    def _failures(self, doing: str = "cannot publish to") -> contextlib.AbstractContextManager[Any]:
        return _told(self.shown, doing)


@contextlib.contextmanager
def _told(shown: str, doing: str) -> Iterator[None]:
    with failures(shown, PublishError, doing):
        yield


def _variation(record: Record) -> str:
    """``FRAMEWORK/VARIATION`` of an artifact on Kaggle, where names have hyphens and a model's versions no numbers."""
    name = f"{record.model}-{record.task}-{record.version}".lower().replace("_", "-")
    return f"{_FRAMEWORKS.get(record.format, 'other')}/{name}"


def _folder(record: Record, contents: Contents) -> Path:
    wanted = f"{record.place.folder}/{METADATA_FILE}"
    return next(item.file.parent for item in contents.items if item.path == wanted)
