"""What of a release is published: its files, in the order in which they may become visible."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import exporter
from exporter.errors import OtherReleaseError, ReleaseError
from exporter.fetch.sendable import Item
from exporter.files.hashing import sha256
from exporter.release import finalize, names, signatures
from exporter.release.check import check
from exporter.release.manifest import MANIFEST_FILE, Record, read_records


@dataclass(frozen=True)
class Contents:
    """The records of a release, and its files: those of artifacts, their records, the files of the whole, the manifest.

    Whoever sees the manifest finds all that it names.
    """

    records: tuple[Record, ...]
    items: tuple[Item, ...]

    @property
    def empty_folders(self) -> list[str]:
        """The folders of artifacts without a file in them, which not every target can keep."""
        found = names.expected(self.records, ())
        files = [path for path, kind in found.items() if kind == "file"]
        folders = [path for path, kind in found.items() if kind == "folder"]
        return [folder for folder in folders if not any(path.startswith(f"{folder}/") for path in files)]

    @property
    def models(self) -> list[str]:
        """The names of its models, each once, in their order."""
        return list(dict.fromkeys(record.model for record in self.records))


def sound_contents(release: Path, note: Callable[[str], object]) -> Contents:
    """What is to be published of a release, all of whose files are right.

    Args:
        note: told what is being done.

    Raises:
        ReleaseError: a check of its files fails, or it has no manifest: nobody may be sent to that.
        OtherReleaseError: another nasexport made it, which alone can say that all of it is right.
    """
    note("checking the files of the release")
    try:
        failed = [each for each in check(release) if not each.passed]
    except OtherReleaseError as error:
        # The second line of the message says how to verify it, not how to publish it.
        raise OtherReleaseError(
            f"{str(error).splitlines()[0]}\nonly the one that made a release can check and publish it: use that"
        ) from error
    if failed:
        first = failed[0]
        raise ReleaseError(f"{release} is not sound, and was not published: {first.name}\n{first.detail}")
    _, records = read_records(release)
    return Contents(tuple(records), tuple(_items(release, records)))


def _items(release: Path, records: Sequence[Record]) -> Iterator[Item]:
    yield from _of_artifacts(release, records)
    whole = [name for name in finalize.FILES if name != MANIFEST_FILE]
    for path in (*whole, *signatures.present(release), MANIFEST_FILE):
        yield _item(release, path)


def _of_artifacts(release: Path, records: Iterable[Record]) -> Iterator[Item]:
    """The files of each artifact, its record after them."""
    for record in records:
        for file in record.all_files:
            yield Item(file.path, file.size, file.sha256, release / file.path)
        yield _item(release, record.place.record)


def _item(folder: Path, path: str) -> Item:
    try:
        return Item(path, (folder / path).stat().st_size, sha256(folder / path), folder / path)
    except OSError as error:
        raise ReleaseError(f"cannot read {folder / path}: {error.strerror}") from error


def of_model(contents: Contents, model: str, release: Path, folder: Path) -> Contents:
    """The part of a release that is about one model, as a release of its own; it has no signatures.

    Args:
        release: where the files of artifacts lie.
        folder: an empty one, where the files of the whole are written.
    """
    records = sorted((each for each in contents.records if each.model == model), key=lambda each: each.handle)
    written = finalize.contents(records, exporter.__version__)
    for name, content in written.items():
        (folder / name).write_bytes(content)
    whole = [_item(folder, name) for name in finalize.FILES]
    return Contents(tuple(records), (*_of_artifacts(release, records), *whole))


def added(contents: Contents, path: str, content: bytes, folder: Path) -> Contents:
    """The same with one more file, before the files of the whole; it is written to ``folder``."""
    (folder / path).write_bytes(content)
    return Contents(contents.records, (_item(folder, path), *contents.items))


def handle_of(path: str) -> str | None:
    """The handle of the artifact that a path belongs to, as in a release; None for any other path."""
    parts = path.split("/")
    if len(parts) < 5 or parts[:2] != ["google", "imagenet"]:
        return None
    last = parts[4]
    if len(parts) == 5:
        last = last.partition(".")[0]
    return "/".join([*parts[:4], last]) if last else None
