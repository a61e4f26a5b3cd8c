"""Tables for notebooks, which show what ``_repr_html_`` gives; every text in them is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

#: Of a table: what has more rows is in the object itself.
_MOST_ROWS = 60
_LEFT = ' style="text-align:left"'


def facts(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """A table of names and values under a title."""
    return table(title, (), ((name, value) for name, value in rows))


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table under a title."""
    found = list(rows)
    head = f"<thead><tr>{''.join(_cell('th', each) for each in header)}</tr></thead>" if header else ""
    body = "".join(f"<tr>{''.join(_cell('td', each) for each in row)}</tr>" for row in found[:_MOST_ROWS])
    more = f"<p>and {len(found) - _MOST_ROWS:,} more</p>" if len(found) > _MOST_ROWS else ""
    return f"<div><p><b>{_text(title)}</b></p><table>{head}<tbody>{body}</tbody></table>{more}</div>"


def _cell(tag: str, value: object) -> str:
    return f"<{tag}{_LEFT}>{_text(value)}</{tag}>"


def _text(value: object) -> str:
    return escape("" if value is None else str(value))
