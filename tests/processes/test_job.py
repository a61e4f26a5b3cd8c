"""Rows of jobs say the truth of the functions that they name, and what they exchange arrives as it was sent."""

import functools
import inspect
import operator
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from exporter import errors
from exporter.artifact.jobs import INSPECT, InspectRequest
from exporter.errors import ArtifactError, NasexportError
from exporter.evaluation.jobs import Broken, ClassifiedChunk, Image
from exporter.models.config import models
from exporter.processes import run
from exporter.processes.job import Failure, Job
from exporter.processes.messages import from_plain, to_plain
from exporter.progress import Say
from tests.support.command import Command
from tests.support.jobs import all_jobs

JOBS = all_jobs()


def test_there_are_jobs_with_names_of_their_own() -> None:
    assert len(JOBS) == 19
    assert len({job.name for job in JOBS.values()}) == len(JOBS)


@pytest.mark.parametrize("place", JOBS)
def test_a_row_says_the_truth_of_its_function(place: str) -> None:
    job: Job[Any, Any, Any] = JOBS[place]
    assert job.reference == place
    function = pkgutil.resolve_name(job.function)
    hints = get_type_hints(function)
    assert hints.pop("return") is job.result
    types = [hints[name] for name in inspect.signature(function).parameters]
    events = [Callable[[functools.reduce(operator.or_, job.events)], None]] if job.events else []
    assert types == [job.request, Say, *events]


def test_every_error_arrives_as_itself() -> None:
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert NasexportError in classes and len(classes) > 10
    for each in classes:
        error = Failure(each.__name__, "what it says").exception()
        assert type(error) is each and str(error) == "what it says"


@pytest.mark.parametrize(
    "value",
    [
        *models().values(),
        Image(Path("/folder/ä \udce4.jpeg"), None, 3),
        ClassifiedChunk(7, 2, (Broken(1, "a \udce4"),), (0,), (0.1 + 0.2,), (3,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_sent_arrives_as_it_was(value: object) -> None:
    assert from_plain(to_plain(value), type(value)) == value


def test_a_path_need_not_be_text(tmp_path: Path) -> None:
    path = tmp_path / "not UTF-8: \udce4"
    with pytest.raises(ArtifactError, match=r"there is nothing at .*not UTF-8: \udce4"):
        run.run(INSPECT, InspectRequest(path))


def test_a_process_that_dies_is_told_of_by_what_it_said_last_and_not_by_logs(own_cli: Command, tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "if any('processes import worker' in each for each in sys.orig_argv):\n"
        "    print('what went wrong', 'I0000 00:00:1795707153.904471 3924 stub.cc:31] no card', "
        "'2026-11-26 15:00:00.123456: I tensorflow/core/x.cc:1] a log', sep='\\n', file=sys.stderr, flush=True)\n"
        "    os.abort()\n"
    )
    (tmp_path / "first").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"")
    result = own_cli.with_program_first(program, tmp_path / "first").started("inspect", tmp_path)
    assert "was killed by signal 6 before it answered" in result.stderr
    assert result.stderr.rstrip().endswith("Its last line:\nwhat went wrong")
