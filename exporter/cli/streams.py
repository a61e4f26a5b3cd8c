"""The command's standard streams: made so that nothing it prints can do harm, whatever they were started as.

A message that cannot be written is lost, and no work with it: standard error may be closed, full, or a pipe that nobody
reads. What goes to standard output is what the user asked for: where it cannot be written, the command says so and
fails, except where its reader has gone away, as `head` does.
"""

import errno
import io
import os
import signal
import sys
from typing import Any, TextIO

from exporter.errors import OutputError


def prepare() -> None:
    """Puts streams in place of `sys.stdout` and `sys.stderr` whose failures are as above.

    A stream that is closed is opened: otherwise the first file that the command writes would have its number, and
    whatever a library prints would be written into that file.
    """
    if os.name != "posix":
        return
    # What is printed on a closed standard output must fail: this one can only be read.
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Messages(2, "w", closefd=False), sys.stderr)


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    encoding = (before.encoding if before else None) or "utf-8"
    # What the encoding does not have is written out.
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=raw.isatty())


class _Messages(io.FileIO):
    """Standard error: what cannot be written is lost."""

    def write(self, content: Any) -> int:
        try:
            written = super().write(content)
        except OSError:
            written = None
        return len(memoryview(content).cast("B")) if written is None else written


class _Output(io.FileIO):
    """Standard output: it fails once, with an error that no other can be taken for."""

    _failed = False

    def write(self, content: Any) -> int:
        size = len(memoryview(content).cast("B"))
        if self._failed:
            return size
        try:
            return super().write(content) or 0
        except OSError as error:
            self._failed = True
            if isinstance(error, BrokenPipeError):
                raise ReaderGone from error
            problem = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"cannot write to standard output: {problem}") from error


class ReaderGone(SystemExit):
    """Whoever read standard output has stopped reading: the command ends, as others do, as SIGPIPE would end it."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGPIPE)
