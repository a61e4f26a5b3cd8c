"""Starts processes from one that has imported already what they all need: each saves that time.

Linux only. A fork is sound where no other thread holds a lock: TensorFlow starts its threads with the first operation,
not when it is imported, and none runs here.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO, NoReturn

#: Elsewhere there is no fork, or system libraries that do not bear it.
AVAILABLE = sys.platform == "linux"

_LONGEST_MESSAGE = 1 << 16


class ForkServerError(Exception):
    """The process that others start from has ended."""


class ForkServer:
    """The process that has imported; it ends, and ends all that came of it, when it is closed or its parent ends."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], debug: bool = False):
        """Starts it, without waiting for what it imports.

        Args:
            command: runs `serve`; the descriptor to pass is appended to it.
            debug: processes write to this one's standard error.
        """
        self._debug, self._lock, self._is_used = debug, threading.Lock(), False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if debug else subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
            )

    def start(self, job: str, variables: Mapping[str, str]) -> "Forked":
        """A process that does ``job``, with more environment variables.

        Raises:
            ForkServerError: no process can be had from here any more.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            request = _pipe(reader=theirs, writer=ours)
            outputs = [_pipe(reader=ours, writer=theirs) for _ in range(1 if self._debug else 2)]
            descriptors = [request[0], *(write for _, write in outputs)]
            pid = self._asked({"job": job, "variables": dict(variables)}, descriptors)
            ours.pop_all()
        streams = [os.fdopen(request[1], "w", encoding="utf-8")]
        streams += [os.fdopen(read, encoding="utf-8") for read, _ in outputs]
        return Forked(pid, streams, lambda: self._asked({"ended": pid}))

    def _asked(self, message: object, descriptors: Sequence[int] = ()) -> int:
        try:
            with self._lock:
                self._is_used = True
                socket.send_fds(self._socket, [json.dumps(message).encode()], descriptors)
                answer = self._socket.recv(_LONGEST_MESSAGE)
        except OSError as error:
            raise ForkServerError(str(error)) from error
        if not answer:
            raise ForkServerError("it ended")
        return int(answer)

    def kill(self) -> None:
        """Ends it at once; what came of it is left alone."""
        self._process.kill()

    def close(self) -> None:
        """Ends it, and what came of it."""
        self._socket.close()
        if not self._is_used:
            # It may be at its imports.
            self._process.kill()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            # It is still importing, and nothing has come of it.
            self._process.kill()
            self._process.wait()


class Forked:
    """A process that a `ForkServer` started, with as much of `subprocess.Popen` as `exporter.processes.run` uses."""

    def __init__(self, pid: int, streams: Sequence[IO[str]], status: Callable[[], int]):
        self.pid, self._status = pid, status
        self.stdin, self.stdout = streams[:2]
        self.stderr = streams[2] if len(streams) > 2 else None
        self.returncode: int | None = None
        self._gone = False

    def kill(self) -> None:
        """Kills it, unless `wait` returned: until then its number is no other process's."""
        if not self._gone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int | None:
        """Its exit status, or minus the signal that killed it, once it ends; None where nobody knows."""
        if not self._gone:
            with contextlib.suppress(ForkServerError):
                self.returncode = self._status()
            self._gone = True
        return self.returncode


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed with these."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def serve(descriptor: int, modules: Sequence[str], work: Callable[[str], object]) -> NoReturn:
    """The server's side: imports ``modules``, then forks for each message, and does ``work(job)`` in the child.

    A child finds its standard streams in place. A module that cannot be imported is left to the child, whose job then
    fails with the reason.
    """
    # Who interrupts a command at a terminal interrupts all its processes: this one ends when its parent has.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    # The collector's marks would make a copy of every page for each child.
    gc.freeze()
    connection = socket.socket(fileno=descriptor)
    children: set[int] = set()
    try:
        while True:
            text, descriptors, *_ = socket.recv_fds(connection, _LONGEST_MESSAGE, 3)
            if not text:
                break
            message = json.loads(text)
            if pid := message.get("ended"):
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                children.discard(pid)
                connection.send(str(status).encode())
                continue
            pid = os.fork()
            if not pid:
                connection.close()
                _become(descriptors, message["variables"], functools.partial(work, message["job"]))
            children.add(pid)
            for each in descriptors:
                os.close(each)
            connection.send(str(pid).encode())
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _become(descriptors: Sequence[int], variables: Mapping[str, str], work: Callable[[], object]) -> NoReturn:
    """Makes a forked process one of its own, and ends it when its work is done; nothing may return to `serve`."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for standard, each in enumerate(descriptors):
            os.dup2(each, standard)
            os.close(each)
        os.environ.update(variables)
        # What was computed from the environment of the parent.
        tempfile.tempdir = None
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)
