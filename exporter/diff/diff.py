"""Compares two artifacts with each other: what they are, what they hold, and what they do.

Their files are read in one process (`exporter.diff.stored`, `exporter.diff.declared`), and each is loaded
and run in one of its own (`exporter.probe.run`, `exporter.diff.observed`).
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.artifact import folder as artifact
from exporter.artifact import packed
from exporter.diff.comparison import Comparison
from exporter.diff.declared import of_files
from exporter.diff.jobs import ASPECTS, COMPARE_FILES, FILE_ASPECTS, ComparedFiles, CompareFilesRequest
from exporter.diff.observed import PROBED
from exporter.diff.side import Side
from exporter.errors import ArtifactError
from exporter.files import temporary
from exporter.files.arrays import ArrayStore
from exporter.probe.jobs import PROBE, ProbeRequest
from exporter.probe.result import ProbeResult
from exporter.processes import run
from exporter.progress import Say
from exporter.verification.results import TOLERANCE

#: Of images, where nothing says how large they are: that of most image networks.
USUAL_IMAGE_SIZE = 224


@dataclass(frozen=True)
class Difference:
    """All comparisons of two artifacts. ``notes`` are facts worth knowing that do not decide."""

    a: str
    b: str
    tolerance: float
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        return all(comparison.same for comparison in self.comparisons)

    def to_dict(self) -> dict[str, Any]:
        return {
            "a": self.a,
            "b": self.b,
            "same": self.same,
            "tolerance": self.tolerance,
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "notes": list(self.notes),
        }


def compare(
    a: Path,
    b: Path,
    aspects: Sequence[str] = ASPECTS,
    *,
    tolerance: float = TOLERANCE,
    image_size: int | None = None,
    say: Say = lambda _: None,
    debug: bool = False,
) -> Difference:
    """Compares two artifacts, each a folder or a ``.tar.gz``, of any format and any writer.

    Args:
        aspects: which of `ASPECTS` to compare.
        tolerance: the largest difference of outputs that is none, as a part of the largest magnitude in ``a``.
        image_size: height and width of the images to run both on. By default, what each says of itself.

    Raises:
        ArtifactError: one of them is no artifact, is damaged, or cannot be used as its format promises.
    """
    with packed.opened(a) as folder_a, packed.opened(b) as folder_b:
        for folder in (folder_a, folder_b):
            artifact.require_artifact(folder)
        request = CompareFilesRequest(folder_a, folder_b, values="variables" in aspects)
        files = run.run(COMPARE_FILES, request, say, debug).result
        notes = _prefix_notes(files.prefixes)
        comparisons = [comparison for comparison in of_files(files) if comparison.aspect in aspects]
        probed = [aspect for aspect in ASPECTS if aspect in aspects and aspect not in FILE_ASPECTS]
        if probed:
            sizes = (image_size or files.a.image_size, image_size or files.b.image_size)
            notes += [
                f"nothing tells the size of {side}'s images: {USUAL_IMAGE_SIZE} was taken (--image-size)"
                for side, size in zip("AB", sizes, strict=True)
                if size is None
            ]
            with _running((folder_a, folder_b), files, sizes, say, debug) as (side_a, side_b):
                for aspect in probed:
                    comparisons += PROBED[aspect](side_a, side_b, tolerance)
                if "training" in aspects and side_a.found.momentum_settable != side_b.found.momentum_settable:
                    notes.append(
                        f"{'B' if side_a.found.momentum_settable else 'A'} keeps its own momentum in training:"
                        " how far one step moves the averages was not compared"
                    )
    return Difference(str(a), str(b), tolerance, tuple(comparisons), tuple(notes))


@contextlib.contextmanager
def _running(
    folders: tuple[Path, Path], files: ComparedFiles, sizes: tuple[int | None, int | None], say: Say, debug: bool
) -> Iterator[tuple[Side, Side]]:
    """What both do, one after the other; the arrays stay on disk for the time of the ``with`` block."""
    with temporary.folder() as folder:
        outputs = (folder / "a", folder / "b")
        for artifact, size, output in zip(folders, sizes, outputs, strict=True):
            _probe(artifact, size or USUAL_IMAGE_SIZE, output, say, debug)
        a, b = (
            Side(ProbeResult(ArrayStore(output), prefix))
            for output, prefix in zip(outputs, files.prefixes, strict=True)
        )
        yield a, b


def _probe(folder: Path, size: int, output: Path, say: Say, debug: bool) -> None:
    try:
        run.run(PROBE, ProbeRequest(folder, size, output), say, debug)
    except ArtifactError as error:
        hint = "what needs no loading can be compared with --only " + ",".join(FILE_ASPECTS)
        raise ArtifactError(f"{error}\n{hint}" if "\n" not in str(error) else str(error)) from error


def _prefix_notes(prefixes: Sequence[str]) -> list[str]:
    return [
        f"variables of {side} are named below {prefix}, which was left out when they were matched"
        for side, prefix in zip("AB", prefixes, strict=True)
        if prefix
    ]
