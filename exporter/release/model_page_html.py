"""The model page of an artifact for browsers.

Its top is HTML of its own: what to download, the programs that load the model in each framework, the drawing of its
cells. The rest is the page in Markdown, without what the top has.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from exporter.models.config import Task, handle
from exporter.models.formats import FORMATS, FormatSpec, Version
from exporter.release import model_page
from exporter.release.model_page import PageFacts
from exporter.report import network_drawing, templates

if TYPE_CHECKING:
    from markdown_it.token import Token

_METADATA_LINE = re.compile(r"^<!-- [a-z-]+: .* -->\n", re.MULTILINE)
#: Where the drawings are, in the Markdown that this page is made of.
_DRAWING = "\n<!-- drawing -->\n"
#: Around what is folded, there. No text from outside can begin a line so.
_FOLD = re.compile(r"^<!-- fold (.*) -->\n(.*?)^<!-- unfold -->\n", re.MULTILINE | re.DOTALL)


def pages(facts: PageFacts) -> tuple[str, str]:
    """The page in Markdown and the one for browsers, as a release has them."""
    model = facts.place.handle.rsplit("/", 2)[0]
    released = {facts.place.handle, *(f"{model}/{other}" for other in facts.links.artifacts)}
    return model_page.markdown(facts, released), html(facts, released)


def html(facts: PageFacts, released: Collection[str]) -> str:
    """The page for browsers, in the style of the report; the arguments are those of `model_page.markdown`."""
    values = model_page.values(facts, released)
    text = templates.markdown("model.md", **values, for_browser=True)
    return templates.html(
        "model.html",
        **values,
        page_address=page_address,
        drawings=network_drawing.drawings("network", facts.config, facts.task),
        drawing_style=network_drawing.STYLE,
        programs=_programs(facts, values["others"]),
        checks=facts.checks,
        content=["".join(_parts(part)) for part in text.split(_DRAWING)],
    )


def rendered(text: str) -> str:
    """Markdown as HTML. HTML in it is shown as text; links to Markdown pages are changed to the HTML pages."""
    from markdown_it import MarkdownIt  # takes longer to import than most commands take to answer

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(_METADATA_LINE.sub("", text))
    _mark(tokens)
    return str(parser.renderer.render(tokens, parser.options, {}))


def _mark(tokens: Sequence["Token"]) -> None:
    for token in tokens:
        if token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "fence":
            token.attrSet("tabindex", "0")  # so that a long line can be scrolled with the keyboard
        for inner in token.children or ():
            address = str(inner.attrGet("href") or "")
            if inner.type == "link_open":
                inner.attrSet("href", page_address(address))


def page_address(address: str) -> str:
    """The address of the page for browsers where one of a page in Markdown is given, and any other as it is."""
    is_page = ":" not in address and address.endswith(".md")
    return f"{address.removesuffix('.md')}.html" if is_page else address


def _parts(text: str) -> Iterator[str]:
    """The page as HTML, with what is to be folded in ``details``."""
    end = 0
    for match in _FOLD.finditer(text):
        yield rendered(text[end : match.start()])
        yield f"<details>\n<summary>{match[1]}</summary>\n{rendered(match[2])}</details>\n"
        end = match.end()
    yield rendered(text[end:])


def _programs(
    facts: PageFacts, others: dict[Task, list[tuple[FormatSpec, list[tuple[Version, str | None]]]]]
) -> list[dict[str, Any]]:
    """For each format that the release has for this task, the program that loads it: this artifact first, and
    the newest version of each other format.
    """
    found = []
    for spec, versions in others[facts.task]:
        own = spec is FORMATS[facts.config.all_versions[facts.version]]
        version, link = (facts.version, None) if own else versions[-1]
        found.append(
            {
                "own": own,
                "spec": spec,
                "handle": handle(facts.config, facts.task, version),
                "link": link and page_address(link),
            }
        )
    return sorted(found, key=lambda program: not program["own"])
