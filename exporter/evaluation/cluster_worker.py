"""The side of a cluster's worker: one set of loaded artifacts a process, and chunks computed with them."""

import os
import pkgutil
import threading
from typing import Any

from exporter.artifact import folder
from exporter.errors import NasexportError
from exporter.evaluation.cluster_task import QUIET, Answer, Task
from exporter.evaluation.jobs import EMBED, EVALUATE, Chunk
from exporter.evaluation.threads import ONE
from exporter.processes import environment, worker
from exporter.processes.messages import from_plain, to_plain


class _Process:
    """The artifacts that this process has loaded, and for which task."""

    lock = threading.Lock()
    prepared = False
    task: Task | None = None
    models: Any = None


def compute(address: str, task: Task, plain_chunk: Any, lost: tuple[int, ...], probe: bool) -> Answer:
    """What `exporter.evaluation.cluster_task.do` does, in a process of the same version.

    Raises:
        NasexportError: what is no fault of this machine.
    """
    chunk = from_plain(plain_chunk, Chunk)
    try:
        with _Process.lock:
            unfit = _load(task)
        if unfit:
            return Answer(address, unfit=unfit)
        return Answer(address, done=tuple(map(to_plain, _computed(task, chunk, lost, probe))))
    except NasexportError:
        raise
    except Exception as error:
        # What is no error of ours is told as a worker process tells it: no memory, a full disk.
        return Answer(address, failure=worker.serialize_error(error), machine=True)


def _load(task: Task) -> str:
    """Loads the artifacts of a task, once; why this process cannot, where it has other ones."""
    if _Process.task == task:
        return ""
    for model, digest in zip(task.models, task.digests, strict=True):
        if not model.path.exists():
            return f"there is nothing at {model.path}"
        if folder.content(model.path) != digest:
            return f"{model.path} is another artifact there"
    _prepare(any(folder.require_artifact(model.path).runs_with_tensorflow for model in task.models))
    loaded = pkgutil.resolve_name("exporter.evaluation.loaded_model:LoadedModel")
    _Process.models = [loaded(model, lambda _: None) for model in task.models]
    _Process.task = task
    return ""


def _prepare(tensorflow: bool) -> None:
    """Makes this process one like our own workers, before anything imports TensorFlow."""
    if not _Process.prepared:
        wanted = variables()
        for name in set(os.environ) - set(wanted):
            del os.environ[name]
        os.environ.update(wanted)
        become_quiet()
        _Process.prepared = True
    if tensorflow:
        pkgutil.resolve_name("exporter.processes.computation:prepare")("cpu")


def become_quiet() -> None:
    """Libraries greet on standard error, which is the driver's."""
    if QUIET in os.environ:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)


def variables() -> dict[str, str]:
    """The environment variables of a worker: one thread, since there is a worker for each core."""
    wanted = environment.of_worker([EVALUATE, EMBED], "cpu", debug=False)
    return {**ONE, **wanted}


def _computed(task: Task, chunk: Chunk, lost: tuple[int, ...], probe: bool) -> list[Any]:
    from exporter.evaluation import chunks

    read = chunks.read_chunk(chunk, _Process.models, skip_broken=task.skip_broken, lost=lost)
    done: list[Any] = []
    for place in chunk.models:
        model = _Process.models[place]
        if task.job == "EVALUATE":
            done.append(chunks.evaluate_chunk(chunk, place, model, read))
        elif probe:
            chunks.run_chunk(place, model, read)
        else:
            assert task.parts
            done.append(chunks.embed_chunk(chunk, place, model, read, task.parts))
    return done
