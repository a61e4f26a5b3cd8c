"""Runs TensorFlow's part of the work in processes of its own.

The tool's own process never imports TensorFlow: it starts in a blink, stays small, and says nothing that it does not
mean. A job is a function ``job(request, report)`` in a module that may import TensorFlow; request and result are JSON
values, ``report(text)`` tells what is being done; where job and caller agree, it may be any JSON value. A worker ends
when its parent does. Within `imported_once`, workers are forks of one process that has imported TensorFlow, and done
nothing with it.
"""

import contextlib
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from absl import logging

import exporter
from exporter import errors
from exporter.errors import NasexportError, WorkerError
from exporter.processes import fork_server
from exporter.processes.fork_server import Forked, ForkServer, ForkServerError
from exporter.progress import Say

#: Job names and the functions they stand for, imported in the worker only.
JOBS = {
    "synthesize": "exporter.checkpoint.synthetic_checkpoint:synthesize",
    "export": "exporter.artifact.export:export",
    "reference": "exporter.reference.computed:reference",
    "probe": "exporter.probe.run:probe",
    "inspect": "exporter.artifact.inspection:describe",
    "compare_files": "exporter.diff.stored:compare_files",
    "inventory": "exporter.checkpoint.inventory:inventory",
    "independent": "exporter.reference.independent:independent",
    "predict": "exporter.evaluation.prediction:predict",
    "evaluate": "exporter.evaluation.prediction:evaluate",
}

#: Those that run no network, and would only be larger for it.
_WITHOUT_NETWORK = ("export", "inspect", "compare_files", "inventory")

#: Those that are forked within `imported_once`, which imports their modules.
_IMPORTED_ONCE = ("export", "reference", "probe", "inspect")

#: Those that compute with NumPy's matrix library.
_WITH_MATRICES = ("independent",)

#: Modules and graphs are hundreds of thousands of objects that stay: jobs collect garbage where some was made.
_COLLECTIONS = (100_000, 50, 100)

_PACKAGE_PARENT = str(Path(exporter.__file__).resolve().parent.parent)
#: Unlike ``-m``, this never takes a package of the same name from the folder that the user happens to be in.
_BOOTSTRAP = "import sys; sys.path[0] = sys.argv[1]; from exporter.processes import run; run.{}(sys.argv[2])"

#: The workers that run now.
_running: set["subprocess.Popen[str] | Forked"] = set()


class _Shared:
    """The process that workers are forked from, while somebody wants one."""

    lock = threading.Lock()
    users = 0
    server: ForkServer | None = None


@contextlib.contextmanager
def imported_once() -> Iterator[None]:
    """Within it, TensorFlow is imported once for all workers, on systems where a process can be forked.

    The first worker begins it. It may be entered more than once, and from several threads.
    """
    with _Shared.lock:
        _Shared.users += 1
    try:
        yield
    finally:
        with _Shared.lock:
            _Shared.users -= 1
            server = None if _Shared.users else _Shared.server
            if server:
                _Shared.server = None
        if server:
            server.close()


def end_all() -> None:
    """Ends every worker of this process; those who wait for one get a WorkerError."""
    for process in list(_running):
        process.kill()


def run(
    job: str,
    request: dict[str, Any],
    report: Say = lambda _: None,
    debug: bool = False,
    *,
    time_limit: float | None = None,
    scratch: Path | str | None = None,
) -> dict[str, Any]:
    """Runs a job in a process of its own and returns its result, with ``peak_memory`` in bytes added.

    Args:
        report: called with each line that tells what the job is doing.
        debug: shows the worker's own standard error, TensorFlow's messages included.
        time_limit: how long it may take, in seconds.
        scratch: where its temporary files go, which are removed with it; by default the folder for such files.

    Raises:
        NasexportError: of the class that the job raised.
        WorkerError: the worker crashed, was killed, or took too long; the message has its last line.
    """
    with tempfile.TemporaryDirectory(prefix="nasexport-", dir=scratch) as temporary:
        return _run(job, request, report, debug, time_limit, temporary)


def _run(
    job: str, request: dict[str, Any], report: Say, debug: bool, time_limit: float | None, temporary: str
) -> dict[str, Any]:
    process = _started(job, debug, dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary))
    assert process.stdin and process.stdout
    _running.add(process)
    began = time.monotonic()
    last_lines: deque[str] = deque(maxlen=20)
    drain = threading.Thread(target=lambda: last_lines.extend(process.stderr or ()), daemon=True)
    drain.start()
    late = threading.Timer(time_limit or threading.TIMEOUT_MAX, process.kill)
    late.daemon = True
    late.start()
    outcome: dict[str, Any] | None = None
    try:
        # The pipe stays open after the request: its end tells the worker that its parent is gone.
        with contextlib.suppress(BrokenPipeError):
            _send(process.stdin, request)
        for line in process.stdout:
            message = json.loads(line)
            if "report" in message:
                report(message["report"])
            else:
                outcome = message
        process.wait()
        drain.join()
    finally:
        late.cancel()
        process.kill()
        process.wait()
        _running.discard(process)
        process.stdout.close()
        if process.stderr:
            drain.join()
            process.stderr.close()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if outcome is None and time_limit and time.monotonic() - began >= time_limit:
        raise WorkerError(f"the process for {job!r} took longer than {time_limit:g} s and was ended: see --time-limit")
    if outcome is None:
        raise WorkerError(_death(job, process.returncode, last_lines))
    if "error" in outcome:
        if debug:
            sys.stderr.write(outcome["traceback"])
        raise getattr(errors, outcome["error"])(outcome["message"])
    result = outcome["result"]
    logging.info("%s took %.1f s, peak memory %d MB", job, time.monotonic() - began, result["peak_memory"] // 10**6)
    return result


def _started(job: str, debug: bool, variables: dict[str, str]) -> "subprocess.Popen[str] | Forked":
    if job in _IMPORTED_ONCE and (server := _fork_server(debug)):
        # Where it has ended, for want of memory say, a process that starts anew tells why, or does as well.
        with contextlib.suppress(ForkServerError):
            return server.start(job, variables)
    return subprocess.Popen(
        [*_command("main"), job],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if debug else subprocess.PIPE,
        env={**_environment(job, debug), **variables},
        text=True,
        encoding="utf-8",
    )


def _fork_server(debug: bool) -> ForkServer | None:
    with _Shared.lock:
        if _Shared.users and not _Shared.server and fork_server.AVAILABLE:
            _Shared.server = ForkServer(_command("fork_for"), _environment("probe", debug), debug)
        return _Shared.server


def _command(function: str) -> list[str]:
    return [sys.executable, "-c", _BOOTSTRAP.format(function), _PACKAGE_PARENT]


def _environment(job: str, debug: bool) -> dict[str, str]:
    settings = {"PYTHONUTF8": "1"}
    if job not in _WITHOUT_NETWORK:
        # To run a network is to take and return large blocks: glibc asks for huge pages, where each is one fault.
        settings["GLIBC_TUNABLES"] = os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    if job not in _WITH_MATRICES:
        # It would have threads that wait by computing, for the little that is done with it.
        settings["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")
    if not debug:
        settings |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **settings}


def _death(job: str, status: int | None, last_lines: deque[str]) -> str:
    if status is None:
        how = "ended, nobody knows how,"
    else:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    hint = " (out of memory?)" if status == -9 else ""
    last = next((line.strip() for line in reversed(last_lines) if line.strip()), "it printed nothing")
    return (
        f"the process for {job!r} {how}{hint} before it answered; --debug shows all it printed. Its last line:\n{last}"
    )


def _send(stream: Any, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def fork_for(descriptor: str) -> NoReturn:
    """What `imported_once` starts: it waits for workers to be asked for."""
    gc.set_threshold(*_COLLECTIONS)
    modules = [JOBS[job].split(":")[0] for job in _IMPORTED_ONCE]
    fork_server.serve(int(descriptor), modules, main)


def main(job: str) -> NoReturn:
    """The worker's side: request on standard input, messages on standard output, everything else to standard error."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.set_threshold(*_COLLECTIONS)
    try:
        module, function = JOBS[job].split(":")
        report = lambda text: _send(messages, {"report": text})  # noqa: E731
        work = getattr(importlib.import_module(module), function)
        gc.freeze()
        result = work(request, report)
        _send(messages, {"result": {**result, "peak_memory": _peak_memory()}})
    except Exception as error:
        kind, text = told(error)
        _send(messages, {"error": kind, "message": text, "traceback": traceback.format_exc()})
    messages.flush()
    # TensorFlow's own threads have nothing left to do, and unloading it takes a while.
    os._exit(0)


def told(error: Exception) -> tuple[str, str]:
    """The name of the class of nasexport's errors that stands for ``error``, and the message."""
    text = " ".join(str(error).split())[:300]
    if isinstance(error, NasexportError):
        return type(error).__name__, str(error)
    if isinstance(error, OSError) or hasattr(error, "error_code"):  # TensorFlow's: a full disk, a missing right
        return "ArtifactError", f"reading or writing failed: {text}"
    return "WorkerError", f"this is a fault of nasexport itself; --debug shows where\n({type(error).__name__}: {text})"


def _peak_memory() -> int:
    """The largest resident set of this process, in bytes; 0 where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
