"""What a worker of a cluster runs, by its name; text in and out, so that another version can still say that it is one.

Imports nothing that is heavy: the driver imports it, too.
"""

import importlib.metadata
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import exporter
from exporter.artifact import folder
from exporter.errors import NasexportError
from exporter.evaluation.jobs import ModelToLoad
from exporter.processes.job import Failure
from exporter.processes.messages import from_plain, to_plain

#: A variable of workers whose standard error is nobody's.
QUIET = "NASEXPORT_WORKER_QUIET"


class Task(msgspec.Struct, frozen=True):
    """What is to be done with every chunk, and what a worker must have for that.

    ``job`` is "EVALUATE" or "EMBED"; ``digests`` has the hash of each artifact, ``versions`` those of the packages that
    decide what is computed.
    """

    job: str
    models: tuple[ModelToLoad, ...]
    skip_broken: bool
    parts: Path | None
    digests: tuple[str, ...]
    versions: dict[str, str]


class Answer(msgspec.Struct, frozen=True):
    """What came of a chunk: the events of its job, or the error that ended it; or why its worker cannot do any.

    ``worker`` is the address of the worker. ``machine`` is whether the error is one of its machine, so that another
    worker may do it.
    """

    worker: str
    done: tuple[Any, ...] = ()
    failure: Failure | None = None
    machine: bool = False
    unfit: str | None = None


def versions_of(paths: Sequence[Path]) -> dict[str, str]:
    """The versions of all that decides what these artifacts give, by name."""
    specs = [folder.require_artifact(path) for path in paths]
    packages = {"numpy", *(package for spec in specs for _, package in spec.runtime)}
    packages.add("tensorflow" if any(spec.runs_with_tensorflow for spec in specs) else "pillow")
    return {"nasexport": exporter.__version__} | {name: importlib.metadata.version(name) for name in sorted(packages)}


def do(task: str, chunk: str, lost: Sequence[int] = (), *, probe: bool = False) -> str:
    """Computes a chunk in this process; an `Answer` as JSON.

    Args:
        lost: the places of images that are not to be read, as they end every process that does.
        probe: compute it, and write nothing.
    """
    from distributed import get_worker

    address = str(get_worker().address)
    try:
        wanted: dict[str, str] = json.loads(task)["versions"]
        if unfit := _other_versions(wanted):
            return _text(Answer(address, unfit=unfit))
        compute = pkgutil.resolve_name("exporter.evaluation.cluster_worker:compute")
        return _text(compute(address, from_plain(json.loads(task), Task), json.loads(chunk), tuple(lost), probe))
    except NasexportError as error:
        return _text(Answer(address, failure=Failure(type(error).__name__, str(error), error.status)))


def _other_versions(wanted: dict[str, str]) -> str:
    """How this process differs from what is wanted; empty where it does not."""
    found = {"nasexport": exporter.__version__}
    for name in wanted.keys() - found.keys():
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return ", ".join(
        f"{name} {found[name]}, expected {version}" for name, version in wanted.items() if found[name] != version
    )


def _text(answer: Answer) -> str:
    return json.dumps(to_plain(answer))
