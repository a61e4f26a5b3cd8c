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
from exporter.artifact.jobs import LARGEST_IMAGE_SIZE
from exporter.diff.comparison import Comparison
from exporter.diff.declared import of_files
from exporter.diff.jobs import (
    ASPECTS,
    COMPARE_FILES,
    FILE_ASPECTS,
    TRAINING_ASPECTS,
    ComparedFiles,
    CompareFilesRequest,
)
from exporter.diff.observed import PROBED
from exporter.diff.side import Side
from exporter.errors import ArtifactError
from exporter.files import temporary
from exporter.files.arrays import ArrayStore
from exporter.models.formats import FORMATS
from exporter.probe.jobs import ProbeRequest, probe_job
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
    trust: bool = False,
    say: Say = lambda _: None,
    debug: bool = False,
) -> Difference:
    """Compares two artifacts, each a folder or a ``.tar.gz``, of any format and any writer.

    Args:
        aspects: which of `ASPECTS` to compare.
        tolerance: the largest difference of outputs that is none, as a part of the largest magnitude in ``a``.
        image_size: height and width of the images to run both on. By default, what each says of itself.
        trust: whether they may do more than compute.

    Raises:
        ArtifactError: one of them is no artifact, is damaged, could do more than compute, or cannot be used as its
            format promises.
    """
    with packed.opened(a) as folder_a, packed.opened(b) as folder_b:
        for folder in (folder_a, folder_b):
            artifact.require_readable(folder)
        request = CompareFilesRequest(folder_a, folder_b, values="variables" in aspects)
        files = run.run(COMPARE_FILES, request, say, debug).result
        notes = [*_prefix_notes(files.prefixes), *_untrained_notes(aspects, files)]
        comparisons = [comparison for comparison in of_files(files) if comparison.aspect in aspects]
        probed = [aspect for aspect in ASPECTS if aspect in aspects and aspect not in FILE_ASPECTS]
        if _untrained(files):
            probed = [aspect for aspect in probed if aspect not in TRAINING_ASPECTS]
        if probed:
            sizes = (image_size or files.a.image_size, image_size or files.b.image_size)
            for path, size in zip((a, b), sizes, strict=True):
                if image_size is None and size and size > LARGEST_IMAGE_SIZE:
                    raise ArtifactError(
                        f"{path} says that it takes images of {size} x {size} pixels, expected {LARGEST_IMAGE_SIZE} "
                        f"at most: name another size with --image-size"
                    )
            notes += [
                f"nothing tells the size of {side}'s images: {USUAL_IMAGE_SIZE} was taken (--image-size)"
                for side, size in zip("AB", sizes, strict=True)
                if size is None
            ]
            with _running((folder_a, folder_b), files, sizes, trust, say, debug) as sides:
                comparisons += _of_runs(probed, sides, tolerance)
                notes += _momentum_notes(probed, sides)
    return Difference(str(a), str(b), tolerance, tuple(comparisons), tuple(notes))


def _untrained(files: ComparedFiles) -> list[str]:
    """The formats of the two that have no training."""
    return [name for name in dict.fromkeys((files.a.format, files.b.format)) if not FORMATS[name].is_trained]


def _untrained_notes(aspects: Sequence[str], files: ComparedFiles) -> Iterator[str]:
    left_out = [aspect for aspect in TRAINING_ASPECTS if aspect in aspects]
    for name in _untrained(files) if left_out else ():
        were = "was" if len(left_out) == 1 else "were"
        yield f"artifacts of format {name} are not trained: {', '.join(left_out)} {were} not compared"


def _of_runs(aspects: Sequence[str], sides: tuple[Side, Side], tolerance: float) -> Iterator[Comparison]:
    """What both do, compared; nothing is known of what a TF1 Hub module without one of its tag sets does."""
    not_run = [name for name, side in zip("AB", sides, strict=True) if not side.found.is_complete]
    for aspect in aspects:
        if not_run:
            detail = f"{' and '.join(not_run)} not run, for want of one of the tag sets {{}} and {{train}}"
            yield Comparison(aspect, aspect, False, detail)
        else:
            yield from PROBED[aspect](*sides, tolerance)


def _momentum_notes(aspects: Sequence[str], sides: tuple[Side, Side]) -> Iterator[str]:
    if "training" not in aspects or not all(side.found.is_complete for side in sides):
        return
    settable_a, settable_b = (side.found.momentum_settable for side in sides)
    if settable_a != settable_b:
        side = "B" if settable_a else "A"
        yield f"{side} keeps its own momentum in training: how far one step moves the averages was not compared"


@contextlib.contextmanager
def _running(
    folders: tuple[Path, Path],
    files: ComparedFiles,
    sizes: tuple[int | None, int | None],
    trust: bool,
    say: Say,
    debug: bool,
) -> Iterator[tuple[Side, Side]]:
    """What both do, one after the other; the arrays stay on disk for the time of the ``with`` block."""
    with temporary.folder() as scratch:
        outputs = (scratch / "a", scratch / "b")
        for folder, size, output in zip(folders, sizes, outputs, strict=True):
            _probe(ProbeRequest(folder, size or USUAL_IMAGE_SIZE, output, trust=trust), say, debug)
        a, b = (
            Side(ProbeResult(ArrayStore(output), prefix))
            for output, prefix in zip(outputs, files.prefixes, strict=True)
        )
        yield a, b


def _probe(request: ProbeRequest, say: Say, debug: bool) -> None:
    try:
        run.run(probe_job(artifact.require_artifact(request.path)), request, say, debug)
    except ArtifactError as error:
        hint = "what needs no loading can be compared with --only " + ",".join(FILE_ASPECTS)
        raise ArtifactError(f"{error}\n{hint}" if "\n" not in str(error) else str(error)) from error


def _prefix_notes(prefixes: Sequence[str]) -> list[str]:
    return [
        f"variables of {side} are named below {prefix}, which was left out when they were matched"
        for side, prefix in zip("AB", prefixes, strict=True)
        if prefix
    ]
