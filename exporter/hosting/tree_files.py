"""The artifacts below any folder, for a server, where no release was made of them.

What a release has besides is made up: an archive is packed when it is first asked for; people see a page of all
artifacts, and some lines of text for each.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from exporter.artifact.below import Found, artifacts_below
from exporter.errors import ArtifactError
from exporter.files import packing, tree
from exporter.hosting.released_files import ReleasedFiles, UnavailableError
from exporter.hosting.routes import ListedFile, Listing
from exporter.models.formats import FORMATS
from exporter.release.manifest import INDEX_FILE, Record
from exporter.report import templates

#: Seconds for which a folder is not gone through again.
_FRESH = 1.0


@dataclass(frozen=True)
class TreeArtifact:
    """What routes read of a `Record`: the last part of the handle, and the files of the archive and of the page."""

    version: str
    archive: ListedFile
    page_html: ListedFile


class TreeFiles(ReleasedFiles):
    """The files of artifacts below a folder, and what is made of them; safe for use by many threads.

    Raises:
        UnavailableError: the folder cannot be read.
    """

    def __init__(self, folder: Path, made: Path):
        """Those below ``folder``; what is made goes into ``made``, a folder of the server's own."""
        self._made, self._making = made, threading.Lock()
        self._looked: tuple[float, Listing] | None = None
        #: The texts that are made, by their paths.
        self._texts: dict[str, str] = {}
        #: By the path of an archive, the artifact; and what its files were when it was packed.
        self._archives: dict[str, str] = {}
        self._packed: dict[str, list[tuple[str, int, int, int, int]]] = {}
        super().__init__(folder)

    def listing(self) -> Listing:
        """What there is now.

        Raises:
            UnavailableError: it cannot be read, such as while it is being replaced.
        """
        with self._lock:
            if self._looked is None or time.monotonic() - self._looked[0] > _FRESH:
                try:
                    self._looked = time.monotonic(), self._look()
                except (ArtifactError, OSError) as error:
                    raise UnavailableError(str(error)) from error
            return self._looked[1]

    def _look(self) -> Listing:
        found = artifacts_below(self._folder)
        records: dict[str, TreeArtifact] = {}
        files: dict[str, ListedFile] = {}
        texts = {INDEX_FILE: templates.html("tree.html", artifacts=found, size=sum(each.bytes for each in found))}
        for each in found:
            names = [
                name
                for name, kind in tree.entries(self._folder / each.path).items()
                if kind == "file" and not any(part.startswith(".") for part in name.split("/"))
            ]
            record = TreeArtifact(
                each.path.rpartition("/")[2], ListedFile(f"{each.path}.tar.gz"), ListedFile(f"{each.path}.txt")
            )
            texts[record.page_html.path] = _text(each, names)
            own = [ListedFile(f"{each.path}/{name}") for name in names]
            files |= {file.path: file for file in (*own, record.archive)}
            records[each.path] = record
        self._texts, self._archives = texts, {record.archive.path: handle for handle, record in records.items()}
        return Listing(files | {path: ListedFile(path) for path in texts}, cast("Mapping[str, Record]", records))

    def _descriptor(self, path: str) -> int:
        handle, text = self._archives.get(path), self._texts.get(path)
        if handle is None and text is None:
            return super()._descriptor(path)
        with self._making:
            if handle is not None:
                self._pack(path, handle)
            elif text is not None:
                self._write(path, text)
            return os.open(self._made / path, os.O_RDONLY)

    def _write(self, path: str, text: str) -> None:
        target, content = self._made / path, text.encode()
        if not target.is_file() or target.read_bytes() != content:
            self._replace(path, lambda new: new.write_bytes(content))

    def _pack(self, path: str, handle: str) -> None:
        """Packs an artifact, unless its files are those that were packed before."""
        folder = self._folder / handle
        state = [
            (name, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            for name in tree.entries(folder)
            for status in ((folder / name).lstat(),)
        ]
        if self._packed.get(path) != state:
            self._replace(path, lambda new: packing.pack_release(folder, new, handle, path))
            self._packed[path] = state

    def _replace(self, path: str, write: Callable[[Path], object]) -> None:
        """Writes a file beside its place and moves it there: who reads the one before goes on reading that."""
        target = self._made / path
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        write(new)
        new.replace(target)


def _text(found: Found, files: Sequence[str]) -> str:
    """What people read of an artifact."""
    facts = [f"{FORMATS[found.format].title}, {found.bytes:,} bytes"]
    if found.metadata is None:
        facts.append(found.problem or "not written by nasexport")
    else:
        facts.append("verified when it was built" if found.verified else "NOT verified")
        if found.metadata.source.synthetic:
            facts.append("SYNTHETIC weights, made up: its outputs are meaningless")
    lines = [found.path, *(f"  {fact}" for fact in facts), "", "Files:"]
    lines += [f"  {found.path.rpartition('/')[2]}/{name}" for name in files]
    lines += ["", "In one archive: the address of this page with .tar.gz at its end."]
    if any(name.endswith("saved_model.pb") for name in files):
        lines += ["", "import tensorflow_hub as hub", "", 'model = hub.load("the address of this page")']
    return "\n".join(map(templates.visible, lines)) + "\n"
