"""What a terminal shows while work is done: bar, count and clock at every width, and a line for each job that runs."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator

import pyte
import pytest

from exporter.progress import SILENT, Listener
from tests.support.command import CHECKOUT

LONG = "the gradients of a loss with respect to every variable, " * 4
NAME = "google/imagenet/nasnet_large/classification/4"
ROWS = 24
#: A bar of at least ten columns.
BAR = "[━╸╺]{10,}"
SPINNER = "[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]"
CLOCK = r"0:00:\d\d"

PROGRAM = f"""
import sys
from exporter.progress import progress

def done(text):
    print(text, flush=True)
    sys.stdin.readline()

LONG, NAME = {LONG!r}, {NAME!r}
title, total = sys.argv[1], int(sys.argv[2]) or None
with progress(title, total, lambda text: print("warning", text, file=sys.stderr)) as listener:
    listener.step("reading " + LONG)
    done("read")
    with listener.job(NAME) as first, listener.job("") as second:
        first("loading")
        first(LONG)
        second("computing the reference")
        listener.transferred(10_000_000, 348_100_000)
        listener.transferred(20_000_000, 348_100_000)
        done("working")
        listener.warn("careful")
        done("warned")
    listener.step("writing")
    done("one is left")
print("over", file=sys.stderr)
"""


class _Terminal:
    """A terminal in which that program runs, as a person sees it."""

    def __init__(self, columns: int):
        self._screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self.read, self.end = pty.openpty()
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self.guard = threading.Lock()

    def feed(self) -> None:
        with contextlib.suppress(OSError):  # how Linux tells that nobody holds the other end any more
            while sent := os.read(self.read, 65536):
                with self.guard:
                    self._stream.feed(sent)

    def lines(self) -> list[str]:
        with self.guard:
            return [line.rstrip() for line in self._screen.display if line.strip()]

    def wait_for(self, *patterns: str) -> list[str]:
        """The lines, once each is what its pattern says."""
        deadline = time.monotonic() + 30
        while True:
            lines = self.lines()
            if len(lines) == len(patterns) and all(map(re.fullmatch, patterns, lines)):
                return lines
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.02)


@contextlib.contextmanager
def _shown(columns: int, title: str, total: int = 9) -> Iterator[tuple[_Terminal, Callable[[], None]]]:
    """The terminal, and what lets the program go on and waits until it has."""
    terminal = _Terminal(columns)
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    command = [sys.executable, "-c", PROGRAM, title, str(total)]
    env |= {"TERM": "xterm-256color", "PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=terminal.end, text=True
    ) as process:
        os.close(terminal.end)
        reader = threading.Thread(target=terminal.feed)
        reader.start()
        assert process.stdin and process.stdout

        def go_on() -> None:
            assert process.stdin and process.stdout
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()

        process.stdout.readline()
        try:
            yield terminal, go_on
        finally:
            process.stdin.close()
            process.wait()
            reader.join()
            os.close(terminal.read)


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("title", ["nasnet_large", "networks/of/somebody/else/with_a_very_long_name.yaml"])
def test_text_gives_way_and_the_bar_never(columns: int, title: str) -> None:
    shown = re.escape(title) if len(title) <= columns // 3 else re.escape(title[:10]) + r"\S*…"
    with _shown(columns, title) as (terminal, go_on):

        def head(done: int) -> str:
            return rf"{shown} {BAR} {done}/9 {CLOCK}"

        terminal.wait_for(head(0), rf"  {SPINNER} {CLOCK} reading the gradients.*…?")
        go_on()
        name = rf"  {SPINNER} {CLOCK} google/imagenet.*{'…' if columns < 200 else ''}"
        reference = rf"  {SPINNER} {CLOCK} computing the reference"
        transfer = rf"  {SPINNER} {BAR} 20.0/348.1 MB .*"
        lines = terminal.wait_for(head(2), name, reference, transfer)
        assert all(len(line) <= columns for line in lines)
        assert columns < 80 or len(lines[0].split(" ")[1]) == 40
        # A warning stands above, whole.
        go_on()
        terminal.wait_for("warning careful", head(2), name, reference, transfer)
        go_on()
        terminal.wait_for("warning careful", head(4), rf"  {SPINNER} {CLOCK} writing", transfer)
        go_on()
        terminal.wait_for("warning careful", "over")


def test_a_wheel_turns_where_no_count_is_known() -> None:
    with _shown(80, "verify", 0) as (terminal, _):
        lines = terminal.wait_for(rf"verify {SPINNER} {CLOCK}", rf"  {SPINNER} {CLOCK} reading the .*…")
        deadline = time.monotonic() + 30
        while terminal.lines()[0][:8] == lines[0][:8]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_steps_of_jobs_are_steps_of_a_listener_that_knows_no_jobs() -> None:
    said: list[str] = []
    listener = Listener(said.append)
    with listener.job("classification/4") as first, listener.job("") as second:
        first("loading")
        second("computing")
    with SILENT.job("a") as silent:
        silent("b")
    assert said == ["classification/4: loading", "computing"]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    program = "from exporter.progress import progress\nwith progress('a', 2) as listener: listener.step('b')"
    read, end = pty.openpty()
    env = {**os.environ, "TERM": "dumb", "PYTHONPATH": str(CHECKOUT)}
    subprocess.run([sys.executable, "-c", program], env=env, stderr=end, check=True)
    os.close(end)
    assert os.read(read, 4096) == b"a: b\r\n"
    os.close(read)
