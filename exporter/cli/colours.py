"""Colours of what people read on a terminal: verdicts, and the beginnings of messages."""

import os
import re

import click

#: What may stand first in a line, and how it is shown.
_STYLES: dict[str, dict[str, object]] = {
    "ok": {"fg": "green"},
    "same": {"fg": "green"},
    "made": {"fg": "yellow"},
    "note": {"fg": "yellow"},
    "FAIL": {"fg": "red", "bold": True},
    "DIFF": {"fg": "red", "bold": True},
    "next:": {"fg": "cyan"},
    "nasexport: warning:": {"fg": "yellow"},
    "nasexport: error:": {"fg": "red", "bold": True},
}
_FIRST = re.compile(rf"^( *)({'|'.join(map(re.escape, _STYLES))})(?= )", re.MULTILINE)


def wanted() -> bool | None:
    """Whether there are to be colours: as NO_COLOR and FORCE_COLOR say, or else None, on terminals alone."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def echo(text: str, *, err: bool = False) -> None:
    """Prints lines that are fit for a terminal already, verdicts in colours where there are to be any."""
    painted = _FIRST.sub(lambda found: found[1] + click.style(found[2], **_STYLES[found[2]]), text)  # type: ignore[arg-type]
    click.echo(painted, err=err, color=wanted())
