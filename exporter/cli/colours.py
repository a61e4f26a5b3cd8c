"""Colours of what people read on a terminal: verdicts, and the beginnings of messages."""

import os
import re

import click

#: What may stand first in a line, its colour, and whether it is bold.
_STYLES = {
    "ok": ("green", False),
    "same": ("green", False),
    "made": ("yellow", False),
    "note": ("yellow", False),
    "FAIL": ("red", True),
    "DIFF": ("red", True),
    "next:": ("cyan", False),
    "nasexport: warning:": ("yellow", False),
    "nasexport: error:": ("red", True),
}
_FIRST = re.compile(rf"^( *)({'|'.join(map(re.escape, _STYLES))})(?= )", re.MULTILINE)


def wanted() -> bool | None:
    """Whether there are to be colours: as NO_COLOR and FORCE_COLOR say, or else None, on terminals alone."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def echo(text: str, *, err: bool = False) -> None:
    """Prints lines that are fit for a terminal already, verdicts in colours where there are to be any."""
    click.echo(_FIRST.sub(_painted, text), err=err, color=wanted())


def _painted(found: re.Match[str]) -> str:
    colour, bold = _STYLES[found[2]]
    return found[1] + click.style(found[2], colour, bold=bold or None)
