"""The recorded terminals of the documentation: what the script draws, and that the files are of today's commands."""

import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
import pytest

from scripts import record_terminal
from scripts.record_terminal import IMAGES, RECORDINGS, Screen
from tests.support.calls import require_known

SVG = "{http://www.w3.org/2000/svg}"
#: What a page of the README may weigh with its pictures.
LARGEST = 150_000


def _alone(text: str) -> ElementTree.Element:
    """The picture, which reads nothing from elsewhere and runs nothing."""
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert not re.search(r"url\(|@import|@font-face|<script|\bon\w+=", text)
    ends = {each.get("id") for each in root.iter()}
    uses = [each.get("href", "") for each in root.iter(f"{SVG}use")]
    assert uses and all(use.startswith("#") and use[1:] in ends for use in uses)
    return root


def test_screens_are_drawn_as_a_terminal_shows_them(tmp_path: Path) -> None:
    """With colours, with what was written over, and with each different row once."""
    commands = ["printf '\\033[31mred\\033[0m <b>\\n'; printf '10 %%\\r'; sleep 0.9; printf '100 %%\\n'", "echo end"]
    screens = record_terminal.record(commands, tmp_path)
    texts = ["\n".join("".join(run[1] for run in row) for row in screen.rows) for screen in screens]
    assert any("\n10 %" in text for text in texts)
    assert "\n100 %" in texts[-1] and "\n10 %" not in texts[-1] and "\nend" in texts[-1]
    root = _alone(record_terminal.svg(screens))
    drawn = {(text.text, text.get("fill")) for text in root.iter(f"{SVG}text")}
    assert {("red", "#ff7b72"), ("<b>", "#e6e6e6"), ("$", "#7ee787")} <= drawn
    rows = [ElementTree.tostring(each) for each in root.find(f"{SVG}defs") or ()]
    assert len({re.sub(rb'id="\w+"', b"", row) for row in rows}) == len(rows)
    frames = [each for each in root.iter(f"{SVG}g") if each.get("class") in ("screen", "last")]
    assert [frame.get("class") for frame in frames] == ["screen"] * (len(screens) - 1) + ["last"]


def test_the_last_screen_is_what_a_picture_without_motion_shows() -> None:
    row = ((0, "text", "#fff", False),)
    text = record_terminal.svg([Screen((), 9.0), Screen((row,), 0.1)])
    root = _alone(text)
    last = [each for each in root.iter(f"{SVG}g") if each.get("class") == "last"]
    assert len(last) == 1 and last[0].find(f"{SVG}use") is not None
    assert ".screen { visibility: hidden; }" in text and "prefers-reduced-motion: no-preference" in text


def test_a_command_that_fails_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="ended with exit status 3, expected 0:\nwhat went wrong"):
        record_terminal.record(["echo what went wrong; exit 3"], tmp_path)


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_commands_are_those_that_there_are(name: str) -> None:
    for command in RECORDINGS[name]:
        if command.startswith("nasexport "):
            require_known(shlex.split(command)[1:])
    path = IMAGES / f"{name}.svg"
    root = _alone(path.read_text(encoding="utf-8"))
    assert path.stat().st_size <= LARGEST
    drawn = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    for command in RECORDINGS[name]:
        assert command[: record_terminal.COLUMNS - 2] in drawn, "run python -m scripts.record_terminal"
