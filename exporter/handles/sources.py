"""Where artifacts for old addresses come from: a release in a folder or on a server, or a folder of artifacts."""

import shutil
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from exporter.artifact import folder as artifact
from exporter.artifact import packed
from exporter.artifact.metadata import METADATA_FILE, read_metadata
from exporter.errors import NOT_DONE, FetchError, ReleaseError
from exporter.fetch.addresses import local_path, without_password
from exporter.fetch.http_client import Session, TransferError
from exporter.fetch.transfer import receive
from exporter.files import archive, temporary
from exporter.files.hashing import File, sha256
from exporter.models.config import Task
from exporter.models.formats import FORMATS, Format, Version
from exporter.progress import Listener
from exporter.release import names
from exporter.release.manifest import MANIFEST_FILE, Record, read_records
from exporter.settings import Settings
from exporter.validation import MOST_JSON, shown

#: The places of artifacts below a folder that ``build`` wrote, by their handles.
_BUILT = f"google/imagenet/*/*/*/{METADATA_FILE}"


@dataclass(frozen=True)
class Offered:
    """An artifact that a source has."""

    handle: str
    model: str
    task: Task
    version: Version
    format: Format


class Source(Protocol):
    """Something that has artifacts."""

    def offered(self) -> list[Offered]:
        """All that it has."""

    def content(self, handle: str) -> str:
        """A hash of what an artifact is, the same for the same files from the same kind of source."""

    def put(self, handle: str, folder: Path, listener: Listener) -> None:
        """Puts the files of an artifact into an empty folder, whole and with the hashes that a manifest gives.

        Raises:
            ReleaseError: they have other hashes.
            FetchError: they cannot be had from their server.
            OSError: they cannot be read, or written.
        """


def source(where: str, settings: Settings) -> Source:
    """What a path or an address means.

    Raises:
        ReleaseError: there is no release, and no artifact; or a release is damaged.
        FetchError: it cannot be had from its server.
    """
    path = local_path(where)
    if path is None:
        return _OnServer(where.rstrip("/"), settings)
    if (path / MANIFEST_FILE).is_file() or not path.is_dir():
        return _Released(path)
    return _Built(path)


class _Built:
    """A folder that ``build`` wrote artifacts into."""

    def __init__(self, folder: Path):
        self._places: dict[str, Path] = {}
        self._offered: list[Offered] = []
        for file in sorted(folder.glob(_BUILT)):
            metadata = read_metadata(file.parent)
            assert metadata
            self._places[metadata.handle] = file.parent
            found = Offered(metadata.handle, metadata.model.name, metadata.task, metadata.version, metadata.format)
            self._offered.append(found)
        if not self._offered:
            raise ReleaseError(
                f"{folder} has neither a {MANIFEST_FILE} nor artifacts below google/imagenet: expected a folder that "
                f"`nasexport release` or `nasexport build` wrote",
                status=NOT_DONE,
            )

    def offered(self) -> list[Offered]:
        return self._offered

    def content(self, handle: str) -> str:
        return artifact.content(self._places[handle])

    def put(self, handle: str, folder: Path, listener: Listener) -> None:
        shutil.copytree(self._places[handle], folder, dirs_exist_ok=True, copy_function=shutil.copyfile)


class _Recorded:
    """A release, by its records."""

    def __init__(self, records: dict[str, Record]):
        self._records = records

    def offered(self) -> list[Offered]:
        return [_of_record(record) for record in self._records.values()]

    def content(self, handle: str) -> str:
        return self._records[handle].archive.sha256


class _Released(_Recorded):
    """A release in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder
        super().__init__(_by_handle(read_records(folder)[1], str(folder)))

    def put(self, handle: str, folder: Path, listener: Listener) -> None:
        record = self._records[handle]
        for file in record.files:
            if not (self._folder / file.path).is_file():
                raise ReleaseError(f"{self._folder} is damaged: {file.path} is missing")
            target = folder / file.path.removeprefix(f"{record.place.folder}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder / file.path, target)
            _require_hash(file, sha256(target), str(self._folder))
        _make_folders(record, folder)


class _OnServer(_Recorded):
    """A release that some server has: its manifest says what, and with which hashes."""

    def __init__(self, address: str, settings: Settings):
        self._address, self._settings = address, settings
        self._shown = without_password(address)
        if settings.offline:
            raise FetchError(f"{self._shown} was not asked: --offline allows no network")
        with temporary.folder() as folder:
            (folder / MANIFEST_FILE).write_bytes(self._manifest())
            try:
                super().__init__(_by_handle(read_records(folder)[1], self._shown))
            except ReleaseError as error:
                raise ReleaseError(str(error).replace(str(folder), self._shown), status=error.status) from error

    def _manifest(self) -> bytes:
        url = f"{self._address}/{MANIFEST_FILE}"
        content = b""
        try:
            with Session() as session, session.asked(url, {}, self._settings.timeout) as answer:
                if answer.status != 200:
                    raise TransferError(answer.said)
                chunk = answer.first
                while chunk and len(content) <= MOST_JSON:
                    content += chunk
                    chunk = answer.chunk()
        except TransferError as error:
            raise FetchError(f"{self._shown}/{MANIFEST_FILE} {error}: expected the address of a release") from error
        return content

    def put(self, handle: str, folder: Path, listener: Listener) -> None:
        record = self._records[handle]
        url = f"{self._address}/{urllib.parse.quote(record.place.archive)}"
        with temporary.folder(folder.parent) as scratch:
            file = scratch / "artifact.tar.gz"
            timeout, retries = self._settings.timeout, self._settings.retries
            received = receive(url, file, timeout=timeout, retries=retries, listener=listener)
            _require_hash(record.archive, received.sha256, self._shown)
            unpacked = archive.unpack(file, folder, packed.ARTIFACT).files
        for each in record.files:
            _require_hash(each, unpacked.get(each.path.removeprefix(f"{record.place.folder}/"), "none"), self._shown)
        _make_folders(record, folder)


def _by_handle(records: Sequence[Record], where: str) -> dict[str, Record]:
    """Records by their handles.

    Raises:
        ReleaseError: one lists files that no artifact of its format has, such as some outside of its folder.
    """
    for record in records:
        have = names.artifact_files(record.place.folder, record.format)
        if strange := next((file.path for file in record.files if file.path not in have), None):
            raise ReleaseError(f"{where} is damaged: {record.handle} has a file {shown(strange)}")
    return {record.handle: record for record in records}


def _of_record(record: Record) -> Offered:
    return Offered(record.handle, record.model, record.task, record.version, record.format)


def _require_hash(file: File, found: str, where: str) -> None:
    if found != file.sha256:
        raise ReleaseError(f"{file.path} of {where} has sha256 {found}, expected {file.sha256} by its manifest")


def _make_folders(record: Record, folder: Path) -> None:
    """Makes the folders without files in them, which no manifest lists, and old readers expect."""
    for path in FORMATS[record.format].writes:
        if path.endswith("/"):
            (folder / path).mkdir(parents=True, exist_ok=True)
