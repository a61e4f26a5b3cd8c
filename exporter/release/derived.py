"""What follows from the record of an artifact, derived again and compared byte for byte with what is there."""

from collections.abc import Callable, Iterator
from pathlib import Path

from exporter.artifact import metadata as artifact_metadata
from exporter.artifact.metadata import METADATA_FILE, METADATA_SCHEMA, Metadata, Tool, Verdict, read_metadata
from exporter.errors import ArtifactError, ReleaseError
from exporter.release import claims, model_page, model_page_html, report_page
from exporter.release.manifest import Record, encoded
from exporter.validation import shown

#: How much of a line a message shows, in characters.
_SHOWN = 60
#: The report of the largest network has some 100,000 bytes.
_LARGEST_PAGE = 2**24


def metadata_of(release: Path, record: Record) -> Metadata:
    """What an artifact must say of itself, by its record.

    Which TensorFlow wrote it is read from what it says: the version of the package may be written in another way.

    Raises:
        ReleaseError: its inputs are none, or it was written by other versions than those of its inputs.
        ArtifactError: its ``nasexport.json`` cannot be read.
    """
    inputs = claims.inputs_of(record)
    found = read_metadata(release / record.place.folder)
    if found is None:
        raise ReleaseError(f"{record.place.folder}/{METADATA_FILE} is missing")
    tool = Tool(inputs.nasexport, found.tool.tensorflow)
    if tool.tensorflow.replace("-", "") != inputs.packages["tensorflow"]:
        raise ReleaseError(
            f"{record.handle} says that TensorFlow {shown(tool.tensorflow)} wrote it, expected that of its inputs, "
            f"{inputs.packages['tensorflow']}"
        )
    return Metadata(
        schema=METADATA_SCHEMA,
        tool=tool,
        handle=record.handle,
        model=inputs.config,
        task=record.task,
        version=record.version,
        format=record.format,
        options=record.options,
        source=record.source,
        verification=tuple(Verdict(check.name, check.tolerance, check.passed) for check in record.checks),
    )


def metadata_problems(release: Path, record: Record) -> Iterator[str]:
    """Whether ``nasexport.json`` is what the record gives."""
    try:
        wanted = artifact_metadata.encoded(metadata_of(release, record))
    except (ArtifactError, ReleaseError) as error:
        yield str(error)
        return
    yield from difference(release, f"{record.place.folder}/{METADATA_FILE}", wanted)


def record_problems(release: Path, record: Record) -> Iterator[str]:
    """Whether the record beside an artifact is that of the manifest."""
    yield from difference(release, record.place.record, encoded(record.to_dict()))


def page_facts(record: Record, metadata: Metadata) -> model_page.PageFacts:
    """What the pages of an artifact are made from."""
    return model_page.PageFacts(
        config=metadata.model,
        task=record.task,
        version=record.version,
        tool=metadata.tool,
        options=record.options,
        source=record.source,
        checks=record.checks,
        size=record.size,
        archive=record.archive,
        links=record.page_links,
    )


def page_problems(release: Path, record: Record) -> Iterator[str]:
    """Whether the pages of an artifact are what the record gives."""
    try:
        metadata = metadata_of(release, record)
    except (ArtifactError, ReleaseError):
        return  # told by `metadata_problems`
    page, page_html = model_page_html.pages(page_facts(record, metadata))
    place = record.place
    yield from difference(release, place.page, page.encode())
    yield from difference(release, place.page_html, page_html.encode())
    yield from difference(release, place.report, lambda found: report_page.expected(record, metadata, found))


def difference(release: Path, path: str, wanted: bytes | Callable[[str], str]) -> Iterator[str]:
    """Where a file of a release is another than the one that is wanted; its first line that is.

    Args:
        wanted: the right content, or what gives it, from the text that was found.
    """
    try:
        most = len(wanted) if isinstance(wanted, bytes) else _LARGEST_PAGE
        with open(release / path, "rb") as file:
            found = file.read(most + _SHOWN)
        if len(found) > most and not isinstance(wanted, bytes):
            yield f"{path} has more than {most:,} bytes, more than any"
            return
        right = wanted if isinstance(wanted, bytes) else wanted(found.decode()).encode()
    except OSError as error:
        yield f"{path} cannot be read: {error.strerror}"
        return
    except UnicodeDecodeError as error:
        yield f"{path} cannot be read: it is not UTF-8 ({error.reason})"
        return
    if found == right:
        return
    lines, right_lines = found.split(b"\n"), right.split(b"\n")
    pairs = zip(lines, right_lines, strict=False)
    number, (line, right_line) = next(
        ((number, pair) for number, pair in enumerate(pairs, 1) if pair[0] != pair[1]),
        (min(len(lines), len(right_lines)) + 1, (b"more lines", b"the end")),
    )
    if len(lines) < len(right_lines) and number > len(lines):
        line, right_line = b"the end", b"more lines"
    yield f"{path}, line {number}: is {_excerpt(line, right_line)}, expected {_excerpt(right_line, line)}"


def _excerpt(line: bytes, other: bytes) -> str:
    """A line around the first character that another one has not, as a message shows it."""
    text, other_text = (each.decode("utf-8", "backslashreplace").strip() for each in (line, other))
    same = next((at for at, (a, b) in enumerate(zip(text, other_text, strict=False)) if a != b), len(other_text))
    start = max(0, min(same, len(text)) - _SHOWN // 2)
    part = text[start : start + _SHOWN]
    return ascii(("…" if start else "") + part + ("…" if start + _SHOWN < len(text) else "")).replace("\\u2026", "…")
