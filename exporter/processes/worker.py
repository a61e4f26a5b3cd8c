"""The worker's side: a process that runs one job, and the process that such processes are forked from.

The command's own process does not import this module.
"""

import contextlib
import errno
import gc
import os
import pkgutil
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from exporter.errors import NOT_DONE, NasexportError
from exporter.processes import fork_server
from exporter.processes.job import Failure, Job
from exporter.processes.memory import address_space_note
from exporter.processes.messages import Done, Failed, Happened, Message, Needed, Said, decode_request, encode, to_plain
from exporter.without_tensorflow import TensorFlowNeededError, enter_messages

#: Modules and graphs are hundreds of thousands of objects that stay: jobs collect garbage where some was made.
_COLLECTIONS = (100_000, 50, 100)
#: TensorFlow's code of errors like those of the system below, and of there being no memory for a tensor.
_RESOURCE_EXHAUSTED = 8
#: Errors of the system for which no file is to blame.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS}


def main_without_tensorflow(reference: str) -> NoReturn:
    """What `main` does, in a process that has TensorFlow's protocol buffers alone."""
    enter_messages()
    _work(reference, tensorflow=False)


def main(reference: str) -> NoReturn:
    """Runs the job that ``reference`` names.

    The request comes on standard input, messages go to standard output, and everything else to standard error.
    """
    _work(reference, tensorflow=True)


def _work(reference: str, *, tensorflow: bool) -> NoReturn:
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = sys.stdin.readline()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.set_threshold(*_COLLECTIONS)

    def send(message: Message) -> None:
        messages.write(encode(message))
        messages.flush()

    try:
        job: Job[Any, Any, Any] = pkgutil.resolve_name(reference)
        _set_process_name(job.name)
        work = _imported(job)
        gc.freeze()
        if job.runs_network and tensorflow:
            # Here, since nothing may be done with TensorFlow before a fork.
            from exporter.processes import computation

            computation.prepare(computation.wanted())
        send_event = [lambda event: send(Happened(type(event).__name__, to_plain(event)))] if job.events else []
        result = work(decode_request(request, job.request), lambda text: send(Said(text)), *send_event)
        send(Done(to_plain(result), _peak_memory()))
    except TensorFlowNeededError:
        send(Needed())
    except Exception as error:
        send(Failed(serialize_error(error), traceback.format_exc()))
    # TensorFlow's own threads have nothing left to do, and unloading it takes a while.
    os._exit(0)


def _set_process_name(name: str) -> None:
    """What ``top`` and ``ps`` call this process, in its first 15 characters, where the platform lets it say so."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as file:
        file.write(name)


def _imported(job: Job[Any, Any, Any]) -> Callable[..., Any]:
    """The function of a job. Raises ImportError, whatever stops an import: with little memory, many things do."""
    try:
        return pkgutil.resolve_name(job.function)
    except ImportError:
        raise
    except Exception as error:
        raise ImportError(f"{type(error).__name__}: {_one_line(error)}") from error


def serve_forks(*arguments: str) -> NoReturn:
    """Imports modules, then forks a process for each job that is asked for.

    Args:
        arguments: names of the modules, and the descriptor of the socket that `exporter.processes.fork_server` asks
            through.
    """
    _serve(main, arguments)


def serve_forks_without_tensorflow(*arguments: str) -> NoReturn:
    """What `serve_forks` does, for jobs that do without TensorFlow."""
    enter_messages()
    _serve(lambda reference: _work(reference, tensorflow=False), arguments)


def _serve(work: Callable[[str], object], arguments: Sequence[str]) -> NoReturn:
    *modules, descriptor = arguments
    _set_process_name("imports")
    gc.set_threshold(*_COLLECTIONS)
    fork_server.serve(int(descriptor), modules, work)


def serialize_error(error: Exception) -> Failure:
    """An error as one of nasexport's, whose message says what an error of another kind was."""
    text = _one_line(error)
    named = f"{type(error).__name__}: {text}"
    if isinstance(error, NasexportError):
        return Failure(type(error).__name__, str(error), error.status)
    if isinstance(error, ImportError):
        where = f"cannot import TensorFlow, or something else that is needed{address_space_note()}"
        return Failure("MachineError", f"{where}:\n{text}")
    exhausted = getattr(error, "error_code", None) == _RESOURCE_EXHAUSTED or getattr(error, "errno", None) in _MACHINE
    if isinstance(error, MemoryError) or (exhausted and "allocat" in text):
        return Failure("MachineError", f"there is not enough memory{address_space_note()}: {text or 'it is used up'}")
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return Failure("MachineError", "no more threads can be started: ulimit -u, or the container, allows too few")
    if isinstance(error, OSError) or hasattr(error, "error_code"):  # TensorFlow's: a full disk, a missing right
        # A full disk is no fault of the artifact that is verified.
        kind = "MachineError" if exhausted else "ArtifactError"
        return Failure(kind, f"reading or writing failed: {text}", NOT_DONE)
    if note := address_space_note():  # without memory, libraries fail in any way
        return Failure("MachineError", f"something failed, most likely for want of memory{note}:\n{named}")
    message = f"this is a fault of nasexport itself; --debug shows where\n({named})"
    return Failure("WorkerError", message)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _peak_memory() -> int:
    """The largest resident set of this process, in bytes; 0 where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
