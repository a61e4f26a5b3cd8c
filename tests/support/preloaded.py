"""Processes that have imported what a command and its workers need, and from which both are forked.

To start, a command takes a third of a second, and each of its workers more than three, nearly all of it for imports. A
test that is not about starting saves that: `Preloaded` runs any Python program in a fork of a process that did the
imports. It is still a process of its own, with its own arguments, environment, folder and standard streams, and an
interpreter that ends as always. Workers are started by the command as ever; `fork_workers` puts a `subprocess.Popen` in
place that forks them. Linux only; the exporter's modules bear it, since none does more than define things when it is
imported.
"""

import contextlib
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from exporter.processes.environment import of_worker

AVAILABLE = sys.platform == "linux"

#: Names a folder at the front of ``PYTHONPATH``, whose sitecustomize.py forks run, too, before their program.
SITE = "NASEXPORT_TEST_SITE"
#: Says that a command itself must be no fork.
STARTED = "NASEXPORT_TEST_STARTED"

_CHECKOUT = Path(__file__).resolve().parents[2]
_LONGEST_MESSAGE = 1 << 17
#: Variables that are read when an interpreter or a library starts: a fork must want those of its origin.
_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "TF_", "TF2_", "OPENBLAS_", "OMP_", "MKL_", "KERAS_")
#: One of them that is read when a device is first used, not when TensorFlow is imported.
_READ_LATER = "TF_FORCE_GPU_ALLOW_GROWTH"
#: What commands import only when they need it, and which takes long.
_NEEDED_LATER = (
    *("cryptography.hazmat.primitives.serialization", "jinja2", "markdown_it", "numpy", "psutil", "requests"),
    *("securesystemslib.signer", "tomlkit", "yaml"),
)


class Preloaded:
    """A process that has imported modules, and runs programs in forks; it ends when this process does."""

    def __init__(self, environment: Mapping[str, str], modules: Sequence[str]):
        """Starts it, without waiting for what it imports; a package stands for all modules in it."""
        self.settings = _settings(environment)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind("")  # to an address that the system chooses
            listener.listen(64)
            self.address = listener.getsockname().decode("ascii")
            process = subprocess.Popen(
                [sys.executable, "-c", "from tests.support import preloaded; preloaded.serve()", *modules],
                # It is open for as long as this process lives.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # TensorFlow's greeting
                env={**environment, "PYTHONPATH": str(_CHECKOUT), "NASEXPORT_TEST_LISTENER": str(listener.fileno())},
                pass_fds=[listener.fileno()],
                cwd=_CHECKOUT,
            )
        # It goes on in a process that is no child of this one, since tests count their children, and says which.
        assert process.stdout
        with process.stdout:
            self.pid = int(process.stdout.read())
        process.wait()
        self._open = process.stdin

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a program may be run with these variables."""
        return _settings(environment) == self.settings


class Commands:
    """Runs the command line, and its workers, in forks."""

    def __init__(self, environment: Mapping[str, str]):
        self.own = Preloaded(environment, ["exporter.cli", *_NEEDED_LATER])
        with mock.patch.dict(os.environ, environment, clear=True):
            of_workers = of_worker([], "cpu", debug=False)
        # It is read when a process starts, and of no use only to those that run no network.
        of_workers["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        self.workers = Preloaded(of_workers, ["tensorflow", "tensorflow_hub", "exporter"])

    @property
    def workers_program(self) -> str:
        """A program of Python after which workers are forked where they can be."""
        workers = (self.workers.address, self.workers.settings)
        return f"from tests.support import preloaded; preloaded.fork_workers(*{workers!r})"

    @property
    def program(self) -> str:
        """The command line as a program of Python, with such workers."""
        return f"{self.workers_program}\nfrom exporter.__main__ import run\nrun()"

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[str] | None:
        """Runs a command to its end; None where it must be started as always, since its environment asks for that."""
        if STARTED in environment or not self.own.fits(environment):
            return None
        started = self.start(arguments, environment, cwd)
        output, errors = started.communicate(timeout)
        assert started.returncode is not None
        return subprocess.CompletedProcess(["nasexport", *arguments], started.returncode, output, errors)

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        *,
        stdout: int = subprocess.PIPE,
        before: str = "",
    ) -> "Forked":
        """Starts a command, whose environment must fit; in its process, the program ``before`` comes first."""
        return Forked(
            self.own.address,
            f"{before}\n{self.program}",
            ["nasexport", *arguments],
            environment,
            cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )


class Forked:
    """A program in a fork, with as much of `subprocess.Popen` as is needed here and in `exporter.processes`."""

    def __init__(
        self,
        address: str,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path | str,
        *,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        pass_fds: Sequence[int] = (),
    ):
        self.args, self.returncode = list(arguments), None
        message = {
            "program": program,
            "arguments": list(arguments),
            "environment": dict(environment),
            "cwd": str(cwd),
            "pass_fds": list(pass_fds),
        }
        with contextlib.ExitStack() as theirs:
            streams: list[Any] = []
            descriptors = []
            for number, wanted in enumerate((stdin, stdout, stderr)):
                stream, descriptor = _stream(number, wanted, theirs)
                streams.append(stream)
                descriptors.append(descriptor)
            self.stdin, self.stdout, self.stderr = streams
            self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._connection.connect(address.encode("ascii"))
            socket.send_fds(self._connection, [json.dumps(message).encode()], [*descriptors, *pass_fds])
        answer = self._connection.recv(_LONGEST_MESSAGE)
        assert answer, "the process to fork from has ended: what does it print without stderr=DEVNULL?"
        self.pid = int(answer)
        self._handle = os.pidfd_open(self.pid)

    returncode: int | None

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                answer = self._connection.recv(_LONGEST_MESSAGE)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            # Without an answer it was killed together with the process that it came from.
            self.returncode = int(answer) if answer else -signal.SIGKILL
            self._connection.close()
            os.close(self._handle)
        return self.returncode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._handle, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All of standard output and standard error; kills the program if that takes too long."""
        found = {"stdout": "", "stderr": ""}

        def read(name: str) -> None:
            with getattr(self, name) as stream:
                found[name] = stream.read()

        piped = [name for name in found if getattr(self, name)]
        threads = [threading.Thread(target=read, args=(name,), daemon=True) for name in piped]
        for thread in threads:
            thread.start()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        for thread in threads:
            thread.join()
        return found["stdout"], found["stderr"]


def _stream(number: int, wanted: int | None, theirs: contextlib.ExitStack) -> tuple[Any, int]:
    """Our end of a standard stream, if we have one, and the descriptor for the program."""
    if wanted is None:
        return None, number
    if wanted == subprocess.DEVNULL:
        descriptor = os.open(os.devnull, os.O_RDWR)
        theirs.callback(os.close, descriptor)
        return None, descriptor
    if wanted != subprocess.PIPE:
        return None, wanted
    read, write = os.pipe()
    own, descriptor = (write, read) if number == 0 else (read, write)
    theirs.callback(os.close, descriptor)
    return open(own, "w" if number == 0 else "r", encoding="utf-8"), descriptor


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: value for name, value in sorted(environment.items()) if name.startswith(_READ_AT_THE_START)}
    found.pop(_READ_LATER, None)
    # Those that compute with matrices have as many threads as the library chooses: what comes out is the same.
    found.setdefault("OPENBLAS_NUM_THREADS", "1")
    if SITE in environment:
        found["PYTHONPATH"] = found["PYTHONPATH"].removeprefix(f"{environment[SITE]}{os.pathsep}")
    return found


def fork_workers(workers: str, settings: Mapping[str, str]) -> None:
    """From now on, this process's Python programs are forked where they can be."""
    # The address of a socket without a file begins with a zero byte.
    subprocess.Popen = _popen(workers, settings)  # type: ignore[assignment, misc]


def _popen(address: str, settings: Mapping[str, str]) -> type:
    class Popen(subprocess.Popen[Any]):
        def __new__(cls, args: Any, **options: Any) -> Any:
            environment = options.get("env")
            program = isinstance(args, list) and args[:2] == [sys.executable, "-c"]
            if not program or environment is None or _settings(environment) != settings:
                return super().__new__(cls)
            known = {name: options[name] for name in ("stdin", "stdout", "stderr", "pass_fds") if name in options}
            return Forked(address, args[2], ["-c", *args[3:]], environment, Path.cwd(), **known)

    return Popen


def serve() -> None:
    """The process that imports, then forks for each connection; the forks return from here into what they run."""
    if pid := os.fork():
        print(pid, flush=True)
        os._exit(0)
    os.dup2(2, 1)
    listener = socket.socket(fileno=int(os.environ.pop("NASEXPORT_TEST_LISTENER")))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in sys.argv[1:]:
        module = importlib.import_module(name)
        if name.startswith("exporter"):
            for found in pkgutil.walk_packages(module.__path__, f"{name}."):
                # What cannot be imported is left for the command to stumble over.
                with contextlib.suppress(Exception):
                    if not found.name.endswith("__main__") and found.name not in _run_alone():
                        importlib.import_module(found.name)
    if "tensorflow" in sys.argv:
        # A fork has one thread, and waits for ever for what another one holds.
        assert sum(1 for _ in Path("/proc/self/task").iterdir()) == 1, "what was imported has started a thread"
    # The collector's marks would make a copy of every page for each fork.
    gc.collect()
    gc.freeze()
    message, descriptors = _next(listener)
    _become(message, descriptors)
    exec(compile(message["program"], "<string>", "exec"), {"__name__": "__main__"})


def _run_alone() -> set[str]:
    """Modules that a fork imports itself: those that run artifacts with other libraries than TensorFlow, some of which
    start threads at once, and those whose libraries read the environment when they are imported.
    """
    from exporter.models.formats import FORMATS

    rows = [spec for spec in FORMATS.values() if not spec.runs_with_tensorflow]
    running = {reference.partition(":")[0] for spec in rows for reference in (spec.probe, spec.load)}
    return {*running, "exporter.publishing.hugging_face", "exporter.publishing.kaggle"}


def _next(listener: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Waits and forks; returns in a fork, with the program that it is for."""
    connections: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as ready:
        ready.register(listener, selectors.EVENT_READ)
        ready.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fd == 0:
                    os._exit(0)
                if key.fd != listener.fileno():
                    pid, connection = connections.pop(key.fd)
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    with contextlib.suppress(OSError), connection:
                        connection.send(str(status).encode())
                    continue
                connection, _ = listener.accept()
                text, descriptors, *_ = socket.recv_fds(connection, _LONGEST_MESSAGE, 16)
                if not text:
                    connection.close()
                    continue
                pid = os.fork()
                if not pid:
                    listener.close()
                    connection.close()
                    for descriptor, (_, other) in connections.items():
                        os.close(descriptor)
                        other.close()
                    return json.loads(text), descriptors
                for descriptor in descriptors:
                    os.close(descriptor)
                watched = os.pidfd_open(pid)
                connections[watched] = pid, connection
                ready.register(watched, selectors.EVENT_READ)
                connection.send(str(pid).encode())


def _become(message: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Gives a fork its streams, its environment and its folder."""
    # None of them may be in the way of another one's number.
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 500) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for number, descriptor in zip([0, 1, 2, *message["pass_fds"]], high, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Under nohup, every process of the tests is deaf to it.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(message["environment"])
    os.chdir(message["cwd"])
    tempfile.tempdir = None
    sys.argv[:] = message["arguments"]
    sys.orig_argv[:] = [sys.executable, "-c", message["program"], *sys.argv[1:]]
    if SITE in os.environ:
        program = Path(os.environ[SITE]) / "sitecustomize.py"
        exec(compile(program.read_text(encoding="utf-8"), str(program), "exec"), {"__name__": "sitecustomize"})
