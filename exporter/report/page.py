"""Verification reports and evaluations as one self-contained HTML page: no scripts, no fonts, no server.

The same content gives the same bytes: the page has no time, no name of a machine, and no path that the user did not
give.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import exporter
from exporter.errors import ArtifactError, NasexportError
from exporter.files import staging
from exporter.report import svg, templates
from exporter.report.section import Section, template_values

TEMPLATE = "report.html"


@contextlib.contextmanager
def writing(path: Path | None) -> Iterator[list[Section]]:
    """Gives a list for the sections of a page, and writes the page when the ``with`` block ends.

    If the block ends with one of nasexport's errors, the page is written as well if it has any section: a page is most
    useful when a verification failed.

    Args:
        path: the file, which may exist; None to write nothing.

    Raises:
        ArtifactError: the page cannot be written; raised before the block is run if possible.
    """
    sections: list[Section] = []
    if path is None:
        yield sections
        return
    require_writable(path)
    try:
        yield sections
    except NasexportError:
        if sections:
            write(path, sections)
        raise
    write(path, sections)


def write(path: Path, sections: Sequence[Section]) -> None:
    """Writes the page to ``path`` atomically; a symbolic link stays one, and its target is replaced.

    Raises:
        ArtifactError: the page cannot be written.
    """
    write_content(path, page(sections))


def require_writable(path: Path) -> None:
    """Raises ArtifactError where a page could not be written to ``path``."""
    with _artifact_errors(path):
        staging.require_writable(path, follow_link=True)


def write_content(path: Path, content: str) -> None:
    """Writes the HTML of a page as `write` does.

    Raises:
        ArtifactError: it cannot be written.
    """
    with _artifact_errors(path):
        staging.write(path, content.encode(), follow_link=True)


def page(sections: Sequence[Section]) -> str:
    """The HTML page of one or more sections, in their order."""
    return rendered([template_values(f"a{index}", section) for index, section in enumerate(sections, 1)])


def rendered(sections: Sequence[Mapping[str, Any]]) -> str:
    """The HTML page of sections that are values for the template already."""
    return templates.html(
        TEMPLATE,
        sections=sections,
        failed=[section for section in sections if not section["passed"]],
        plot_style=svg.STYLE,
        version=exporter.__version__,
        number=templates.number,
    )


@contextlib.contextmanager
def _artifact_errors(path: Path) -> Iterator[None]:
    """Raises ArtifactError in place of OSError."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"cannot write the page {path}: {error.strerror}") from error
