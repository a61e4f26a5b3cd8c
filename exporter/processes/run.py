"""The command's side: starts a process for a job, passes on what it says, and returns what came of it.

The tool's own process never imports TensorFlow: it starts in a blink, stays small, and says nothing that it does not
mean. A worker ends when its parent does. Within `shared_import`, workers are forks of one process that has imported
TensorFlow, and done nothing with it. Jobs that do without TensorFlow have neither to wait for nor to pay for that;
those that import another library that takes long are forks of a process that has imported that.
"""

import contextlib
import dataclasses
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from absl import logging

import exporter
from exporter import interruption, terminal
from exporter.errors import MachineError, WorkerError
from exporter.files import temporary
from exporter.processes import device, environment, fork_server
from exporter.processes.fork_server import Forked, ForkServer, ForkServerError
from exporter.processes.job import Event, Finished, Job, Request, Result
from exporter.processes.memory import address_space_note, require_address_space
from exporter.processes.messages import Done, Failed, Happened, Needed, Said, decode_message, encode, from_plain
from exporter.progress import Say
from exporter.without_tensorflow import TensorFlowNeededError

AnyJob: TypeAlias = Job[Any, Any, Any]

_PACKAGE_PARENT = str(Path(exporter.__file__).resolve().parent.parent)
#: The beginning of a line that is for information, as TensorFlow and absl log it.
_LOGGED = re.compile(r"I\d{4} \d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: I ")
#: Unlike ``-m``, this never takes a package of the same name from the folder that the user happens to be in.
_BOOTSTRAP = (
    "import sys; sys.path[:] = [sys.argv[1], *filter(None, sys.path)]; "
    "from exporter.processes import worker; worker.{}(*sys.argv[2:])"
)

#: The workers that run now.
_running: set["subprocess.Popen[str] | Forked"] = set()


class _Shared:
    """The processes that workers are forked from, while somebody wants them; ``jobs`` has what each of them runs.

    There is one for all that need TensorFlow, by ``()``, and one for each other set of imports.
    """

    lock = threading.Lock()
    jobs: dict[object, tuple[AnyJob, ...]] = {}  # noqa: RUF012
    servers: dict[tuple[str, ...], ForkServer] = {}  # noqa: RUF012


@contextlib.contextmanager
def shared_import(*jobs: AnyJob, at_once: bool = False, debug: bool = False) -> Iterator[None]:
    """Within it, what ``jobs`` import is imported once for all their workers, where a process can be forked.

    Those of ``jobs`` that need neither TensorFlow nor other imports that take long are left as they are. The first
    worker begins it, or ``at_once`` the block itself, while the caller does something else. It may be entered more than
    once, and from several threads.

    Args:
        at_once: for callers that will run one of ``jobs``, unless they fail before.
        debug: as for `run`, for what is imported at once.
    """
    token = object()

    def close() -> None:
        with _Shared.lock:
            _Shared.jobs.pop(token, None)
            servers = [] if _Shared.jobs else list(_Shared.servers.values())
            if servers:
                _Shared.servers.clear()
        for server in servers:
            server.close()

    with interruption.afterwards(close):
        with interruption.deferred(), _Shared.lock:
            _Shared.jobs[token] = jobs
        if at_once:
            for job in jobs:
                _fork_server(job, device.wanted(job), debug)
        yield


def end_all() -> None:
    """Ends every worker of this process; those who wait for one get a WorkerError."""
    # First, what they are forked from: it may still be at its imports, and somebody wait for its answer.
    for server in list(_Shared.servers.values()):
        server.kill()
    for process in list(_running):
        process.kill()


def run(
    job: Job[Request, Result, Event],
    request: Request,
    say: Say = lambda _: None,
    debug: bool = False,
    *,
    on_event: Callable[[Event], object] = lambda _: None,
    time_limit: float | None = None,
    scratch: Path | str | None = None,
) -> Finished[Result]:
    """Runs a job in a process of its own.

    Args:
        say: called with each line that tells what the job is doing.
        debug: shows the worker's own standard error, TensorFlow's messages included.
        on_event: called with each of the job's events.
        time_limit: how long it may take, in seconds.
        scratch: where its temporary files go, which are removed with it; by default the folder for such files.

    Raises:
        NasexportError: of the class that the job raised.
        WorkerError: the worker crashed, was killed, or took too long; the message has its last line.
        MachineError: it crashed where a process may have little memory only, or there is too little to start it.
    """
    if job.tensorflow:
        require_address_space()

    def work() -> Finished[Result]:
        wanted = device.wanted(job)
        with device.taken(wanted), temporary.folder(scratch) as folder:
            return _run(job, wanted, request, say, debug, on_event, time_limit, str(folder))

    try:
        return interruption.call(work, end_all)
    except TensorFlowNeededError:
        logging.info("%s needs TensorFlow for what it found, and begins anew with it", job.name)
    anew = dataclasses.replace(job, tensorflow=True)
    return run(anew, request, say, debug, on_event=on_event, time_limit=time_limit, scratch=scratch)


def _run(
    job: Job[Request, Result, Event],
    wanted: device.Wanted,
    request: Request,
    say: Say,
    debug: bool,
    on_event: Callable[[Event], object],
    time_limit: float | None,
    folder: str,
) -> Finished[Result]:
    events = {event.__name__: event for event in job.events}
    process = _started(job, wanted, debug, dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder))
    assert process.stdin and process.stdout
    _running.add(process)
    began = time.monotonic()
    last_lines: deque[str] = deque(maxlen=20)
    drain = threading.Thread(target=lambda: last_lines.extend(process.stderr or ()), daemon=True)
    drain.start()
    late = threading.Timer(time_limit or threading.TIMEOUT_MAX, process.kill)
    late.daemon = True
    late.start()
    outcome: Done | Failed | Needed | None = None
    try:
        # The pipe stays open after the request: its end tells the worker that its parent is gone.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(encode(request))
            process.stdin.flush()
        for line in process.stdout:
            message = decode_message(line)
            if isinstance(message, Said):
                say(message.text)
            elif isinstance(message, Happened):
                on_event(from_plain(message.value, events[message.event]))
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
        raise WorkerError(
            f"the process for {job.name!r} took longer than {time_limit:g} s and was ended: see --time-limit"
        )
    if outcome is None:
        # Where memory is limited, a crash says nothing of what the job was given.
        limited = address_space_note() and process.returncode not in (None, -signal.SIGKILL)
        raise (MachineError if limited else WorkerError)(_death(job.name, process.returncode, last_lines))
    if isinstance(outcome, Needed):
        raise TensorFlowNeededError
    if isinstance(outcome, Failed):
        if debug:
            sys.stderr.write(terminal.joined(outcome.traceback.split("\n")))
        raise outcome.failure.exception()
    peak = outcome.peak_memory
    logging.info("%s took %.1f s, peak memory %d MB", job.name, time.monotonic() - began, peak // 10**6)
    return Finished(from_plain(outcome.value, job.result), peak)


def _started(
    job: AnyJob, wanted: device.Wanted, debug: bool, variables: dict[str, str]
) -> "subprocess.Popen[str] | Forked":
    if server := _fork_server(job, wanted, debug):
        # Where it has ended, for want of memory say, a process that starts anew tells why, or does as well.
        with contextlib.suppress(ForkServerError):
            return server.start(job.reference, variables)
    return subprocess.Popen(
        _command("main" if job.tensorflow else "main_without_tensorflow", job.reference),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if debug else subprocess.PIPE,
        env={**environment.of_worker([job], wanted, debug), **variables},
        text=True,
        encoding="utf-8",
    )


def _fork_server(job: AnyJob, wanted: device.Wanted, debug: bool) -> ForkServer | None:
    """The process to fork the worker of a job from; None where it is to be started anew."""
    with interruption.deferred(), _Shared.lock:
        wanting = dict.fromkeys(
            each for jobs in _Shared.jobs.values() for each in jobs if each.tensorflow or each.imports
        )
        # What a card's driver has set up does not survive a fork.
        if job not in wanting or wanted != "cpu" or not fork_server.AVAILABLE:
            return None
        key = () if job.tensorflow else job.imports
        if key not in _Shared.servers:
            sharing = [each for each in wanting if each.tensorflow] if job.tensorflow else [job]
            modules = [module for each in sharing for module in (each.function.partition(":")[0], *each.imports)]
            function = "serve_forks" if job.tensorflow else "serve_forks_without_tensorflow"
            command = _command(function, *dict.fromkeys(modules))
            _Shared.servers[key] = ForkServer(command, environment.of_worker(sharing, "cpu", debug), debug)
        return _Shared.servers[key]


def _command(function: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", _BOOTSTRAP.format(function), _PACKAGE_PARENT, *arguments]


def _death(name: str, status: int | None, last_lines: deque[str]) -> str:
    if status is None:
        how = "ended, nobody knows how,"
    else:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    hint = " (out of memory?)" if status == -9 else address_space_note()
    said = [line.strip() for line in last_lines if line.strip()]
    # What TensorFlow logs of its own state is not why a process ended.
    telling = [line for line in said if not _LOGGED.match(line)]
    last = (telling or said or ["it printed nothing"])[-1]
    return (
        f"the process for {name!r} {how}{hint} before it answered; --debug shows all it printed. Its last line:\n{last}"
    )
