"""Pages that need nothing else, no script, no font, no server: what all of them share.

HTML and Markdown come from the templates in ``data/``. Whatever a template is given as text is escaped for where it
stands, with its invisible characters written out, so that a name from outside is never markup. The same values give
the same bytes.
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
#: What can mean something within a line of Markdown, its tables included.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>&|~#!])")


def html(template: str, **values: Any) -> str:
    """The HTML page that a template of ``data/`` makes of ``values``."""
    return _environment("html").get_template(template).render(values)


def markdown(template: str, **values: Any) -> str:
    """The Markdown that a template of ``data/`` makes of ``values``.

    Beside text as it is, templates have filters: ``code`` for names within a line, but not of a table, where ``|``
    needs another form; ``python`` for a string in a program; ``comment`` for what stands in an HTML comment;
    ``address`` for where a link leads.
    """
    text = _environment("markdown").get_template(template).render(values)
    # Where a template leaves something out, it leaves its empty lines.
    return re.sub("\n{3,}", "\n\n", re.sub("[ ]+\n", "\n", text))


@functools.cache
def _environment(kind: str) -> "jinja2.Environment":
    import jinja2  # takes longer to import than most commands take to answer
    from markupsafe import Markup  # what is marked so is not escaped again

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
    filters = {"code": _code, "python": _python, "comment": _comment, "address": quote}
    for name, filter_ in filters.items():
        environment.filters[name] = lambda value, filter_=filter_: Markup(filter_(value))
    return environment


def _shown(value: Any) -> Any:
    """Text from outside with its invisible characters written out; the template escapes what is left."""
    return visible(value) if type(value) is str else value


def _code(value: str) -> str:
    """A code span, within more backticks than the text has in a row."""
    text = visible(value)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _python(value: str) -> str:
    return json.dumps(visible(value))


def _comment(value: str) -> str:
    return re.sub("-(?=-)", "- ", visible(value))


def visible(text: str) -> str:
    r"""The text in a line, with what cannot be seen, or turns other text around, written out: ``\x1b``, ``\u202e``."""
    return "".join(map(_visible_character, " ".join(text.splitlines())))


def _visible_character(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs")  # control, format, surrogate
    return character.encode("unicode_escape").decode() if hidden else character


def number(value: float) -> str:
    """A number as the tables and texts have it, to three digits."""
    return "not a number" if math.isnan(value) else f"{value:.3g}"
