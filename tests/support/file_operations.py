"""Makes something happen at one of the moments when a command makes, renames or removes a file or a folder.

There are as many such moments as operations: a test can go through all of them, as none can that waits for some time.
What happens is real: a kill, an error as the system raises it, a folder that is gone.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import preloaded
from tests.support.command import TIMEOUT, Command, Result, forked

#: Audit events of Python, and how many of their arguments are paths.
_EVENTS = {"os.mkdir": 1, "os.rmdir": 1, "os.remove": 1, "os.rename": 2, "os.link": 2, "open": 1}
_MAKING = ("os.mkdir", "os.rename", "os.link", "open")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

KILL, COUNT, REMOVE, BECOME_FILE = "kill", "count", "remove", "become a file"
#: Errors from the moment on: on a full disk, files can still be removed, on a broken one nothing can be done.
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES")}


def run(command: Command, action: str, moment: int, folder: Path, *args: object) -> Result:
    """Runs the command line to its end; at the ``moment``-th operation below ``folder``, ``action`` happens."""
    if not preloaded.AVAILABLE:
        import pytest

        pytest.skip("needs forks")
    call = f"from tests.support import file_operations; file_operations.prepare({action!r}, {moment}, {str(folder)!r})"
    started = forked().start([*map(str, args)], command.env, command.cwd, before=call)
    stdout, stderr = started.communicate(TIMEOUT)
    assert started.returncode is not None
    return subprocess.CompletedProcess(["nasexport", *map(str, args)], started.returncode, stdout, stderr)


def count(command: Command, folder: Path, *args: object) -> int:
    """How many moments there are in a command that succeeds."""
    result = run(command, COUNT, 0, folder, *args)
    assert result.returncode == 0, result.stderr
    return int(result.stderr.rsplit("operations: ", 1)[1])


def prepare(action: str, moment: int, folder: str) -> None:
    """In the process of the command, before it begins: lets ``action`` happen."""
    import filelock  # noqa: F401 - it makes a folder when it is imported, which is nothing of ours

    done, busy = 0, False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done, busy
        if busy or event not in _EVENTS or not _concerns(event, arguments, folder):
            return
        done += 1
        if done == moment or (done > moment and action in ERRORS):
            busy = True
            try:
                _act(action, event, arguments, Path(folder))
            finally:
                busy = False

    if action == COUNT:
        import atexit

        atexit.register(lambda: print("operations:", done, file=sys.stderr))
        moment = sys.maxsize
    sys.addaudithook(hook)


def _concerns(event: str, arguments: tuple[Any, ...], folder: str) -> bool:
    if event == "open":
        flags = arguments[2]
        if not isinstance(flags, int) or not flags & _WRITING:
            return False
    paths = [os.fsdecode(path) for path in arguments[: _EVENTS[event]] if isinstance(path, (str, bytes, os.PathLike))]
    # `shutil.rmtree` names what it removes within a folder that it has opened.
    return any(os.path.abspath(path).startswith(folder) or "/" not in path for path in paths)


def _act(action: str, event: str, arguments: tuple[Any, ...], folder: Path) -> None:
    if action == KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif action in ERRORS:
        number = ERRORS[action]
        if event in _MAKING or number not in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(number, os.strerror(number), arguments[0])
    else:
        _away(folder)
        if action == BECOME_FILE:
            folder.write_text("in the way")


def _away(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.unlink(missing_ok=True)
