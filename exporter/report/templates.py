"""Renders the templates in ``data/`` to self-contained HTML pages and Markdown.

Text values are escaped for the place where they are inserted, and their invisible characters are written out, so that
text from outside never becomes markup. The same values give the same bytes.
"""

import functools
import json
import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from exporter.resources import resource

if TYPE_CHECKING:
    import jinja2

_FOLDER = "data"
#: Characters with a meaning within a line of Markdown or of its tables.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>&|~#!])")


def html(template: str, **values: Any) -> str:
    """The HTML page that a template of ``data/`` gives for ``values``."""
    return _environment("html").get_template(template).render(values)


def markdown(template: str, **values: Any) -> str:
    """The Markdown that a template of ``data/`` gives for ``values``.

    Templates can use these filters: ``code`` for code within a line (not in tables, where ``|`` must be escaped
    differently), ``python`` for a string literal in a program, ``comment`` for text in an HTML comment, ``address``
    for the target of a link, ``megabytes`` for a number of bytes.
    """
    text = _environment("markdown").get_template(template).render(values)
    # Parts that a template leaves out leave empty lines behind.
    return re.sub("\n{3,}", "\n\n", re.sub("[ ]+\n", "\n", text))


@functools.cache
def _environment(kind: str) -> "jinja2.Environment":
    import jinja2  # slow to import: takes longer than most commands need in total
    from markupsafe import Markup  # marks text that must not be escaped again

    def escaped(value: Any) -> Any:
        return Markup(_MARKDOWN.sub(r"\\\1", visible(value))) if type(value) is str else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource(_FOLDER)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown if kind == "html" else escaped,
    )
    filters = {"code": _code, "python": _python, "comment": _comment, "address": quote, "megabytes": megabytes}
    for name, filter_ in filters.items():
        environment.filters[name] = lambda value, filter_=filter_: Markup(filter_(value))
    return environment


def _shown(value: Any) -> Any:
    """Text with its invisible characters written out; the template escapes the rest."""
    return visible(value) if type(value) is str else value


def _code(value: str) -> str:
    """A code span, delimited by more backticks than the text has in a row."""
    text = visible(value)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _python(value: str) -> str:
    return json.dumps(visible(value))


def _comment(value: str) -> str:
    return re.sub("-(?=-)", "- ", visible(value))


def visible(text: str) -> str:
    r"""The text as one line, with control and formatting characters written out: ``\x1b``, ``\u202e``."""
    return "".join(map(_visible_character, " ".join(text.splitlines())))


def _visible_character(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs")  # control, format, surrogate
    return character.encode("unicode_escape").decode() if hidden else character


def megabytes(size: int) -> str:
    """A number of bytes as people read it: "348 MB", "4.2 MB"."""
    millions = size / 1e6
    return f"{millions:,.0f} MB" if millions >= 10 else f"{max(millions, 0.1):.1f} MB"


def number(value: float) -> str:
    """A number for tables and texts, with three significant digits."""
    return "not a number" if math.isnan(value) else f"{value:.3g}"
