"""What a job is: a function that a worker process runs, with the types of what goes in and what comes out.

Each folder whose work needs a process of its own has a ``jobs.py`` with rows of this class, and with the frozen
dataclasses of their requests, events and results. Those modules import neither TensorFlow nor NumPy: the command's own
process imports them, the worker alone imports the functions that they name.
"""

from dataclasses import dataclass
from typing import Generic, Literal, NoReturn, TypeAlias, TypeVar

from exporter.errors import NasexportError, error_class

Request = TypeVar("Request")
Result = TypeVar("Result")
Event = TypeVar("Event")

#: What can compute: the processor, or a graphics card.
Device = Literal["cpu", "gpu"]

#: The events of a job that has none.
NoEvent: TypeAlias = NoReturn


@dataclass(frozen=True)
class Memory:
    """What a job's process is expected to have in memory that it shares with no other: ``base`` bytes for the graph,
    ``per_weight`` bytes for each byte of the network's weights. See `exporter.processes.memory.for_jobs`.
    """

    base: float
    per_weight: float


@dataclass(frozen=True)
class Job(Generic[Request, Result, Event]):
    """A job and how its process is to be set up. Requests, results and events are what `msgspec` can convert, or paths.

    Attributes:
        reference: the place of the row itself, as ``module:NAME``; what a worker is told to run.
        function: ``module:function``, imported in the worker only. It takes the request and a `exporter.progress.Say`
            for text about what it is doing; that of a job with ``events`` also takes what sends one of them.
        request: what the function takes.
        result: what it returns.
        events: what it may send while it runs, for its caller and not for people.
        memory: what it is expected to need; None for a job that nobody schedules.
        runs_network: whether its process runs networks, which takes and returns large blocks of memory.
        uses_matrices: whether it computes with NumPy's matrix library, whose threads it may have then.
        devices: where it may compute, what it prefers first; `exporter.processes.device` chooses.
        tensorflow: whether its process imports TensorFlow. One without starts at once, and is never a fork of one with
            it; there are TensorFlow's protocol buffers in it (`exporter.without_tensorflow`). A function that finds
            that it cannot do without calls `require_tensorflow`, and is run anew in a process with TensorFlow.
        imports: modules that its function will import, and that take long; its workers may be forks of a process that
            has imported them. Of a job without TensorFlow, only those with such modules are.
    """

    reference: str
    function: str
    request: type[Request]
    result: type[Result]
    events: tuple[type[Event], ...] = ()
    memory: Memory | None = None
    runs_network: bool = False
    uses_matrices: bool = False
    devices: tuple[Device, ...] = ("cpu",)
    tensorflow: bool = True
    imports: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What messages and measurements call it, for example "export"."""
        return self.reference.partition(":")[2].lower()


@dataclass(frozen=True)
class Finished(Generic[Result]):
    """What came of a job; ``peak_memory`` is the largest resident set of its process in bytes, 0 where unknown."""

    result: Result
    peak_memory: int


@dataclass(frozen=True)
class Failure:
    """An error as it travels from a worker: the name of its class in `exporter.errors`, its message and status."""

    error: str
    message: str
    status: int | None = None

    def exception(self) -> NasexportError:
        """The error, to be raised again."""
        return error_class(self.error)(self.message, status=self.status)
