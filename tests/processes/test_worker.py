"""Processes that are forked from one that imported TensorFlow do what new ones do, and come to the same ends."""

import dataclasses
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from exporter.errors import NasexportError, WorkerError
from exporter.probe.jobs import PROBE, ProbeRequest
from exporter.processes import run
from exporter.processes.jobs import FIND_CARD, CardFound, FindCardRequest
from tests.support.command import CHECKOUT, artifact_folder
from tests.support.command import Command as Cli

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

#: The number of threads without and with the modules of all jobs. OpenBLAS may have some, which outlive a fork.
THREADS = """
import contextlib, os
import numpy
with contextlib.suppress(ImportError):
    import scipy.linalg
before = len(os.listdir("/proc/self/task"))
import importlib
from tests.support.jobs import all_jobs
for job in all_jobs().values():
    importlib.import_module(job.function.partition(":")[0])
print(before, len(os.listdir("/proc/self/task")))
"""


@pytest.fixture
def path(tiny_artifacts: Path) -> Path:
    return artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5)


@pytest.fixture
def shared_import() -> Iterator[None]:
    with run.shared_import(FIND_CARD, PROBE):
        yield


def _server() -> psutil.Process:
    (server,) = [each for each in psutil.Process().children() if "worker.serve_forks" in "".join(each.cmdline())]
    return server


def _found() -> CardFound:
    """What the smallest of all jobs with TensorFlow gives."""
    finished = run.run(FIND_CARD, FindCardRequest())
    assert finished.peak_memory > 0
    return finished.result


@pytest.mark.long
def test_one_import_serves_all_and_ends_with_the_last_user() -> None:
    alone = _found()
    assert not psutil.Process().children()
    with run.shared_import(FIND_CARD):
        assert not psutil.Process().children()  # none was needed yet
        with run.shared_import(FIND_CARD):
            assert _found() == alone
            server = _server()
        assert _found() == alone
        assert _server() == server
    assert not server.is_running()


def test_what_is_wanted_at_once_is_imported_before_the_first_needs_it() -> None:
    with run.shared_import(FIND_CARD, at_once=True):
        server = _server()
        assert _found()
        assert _server() == server
    assert not server.is_running()


def test_an_import_that_nobody_needed_is_not_waited_for() -> None:
    began = time.monotonic()
    with run.shared_import(FIND_CARD, PROBE, at_once=True):
        server = _server()
    assert not server.is_running()
    # It takes seconds, of which one would be waited for its end.
    assert time.monotonic() - began < 1


@pytest.mark.long
def test_a_process_is_called_by_its_job(path: Path, tmp_path: Path) -> None:
    names: list[str] = []

    def look(_: object) -> None:
        names.extend(process.name() for process in psutil.Process().children())

    run.run(PROBE, ProbeRequest(path, 64, tmp_path / "found"), look)
    assert names and set(names) == {"probe"}


@pytest.mark.usefixtures("shared_import")
def test_errors_and_side_by_side(tmp_path: Path) -> None:
    with pytest.raises(NasexportError, match=r"not an artifact|no saved_model"):
        run.run(PROBE, ProbeRequest(tmp_path, 32, tmp_path / "found"))
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(_found())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [_found()] * 6


@pytest.mark.stops
@pytest.mark.usefixtures("shared_import")
def test_whoever_is_killed_the_others_go_on(path: Path, tmp_path: Path) -> None:
    expected = _found()
    server = _server()

    def kill(_: object) -> None:
        for process in server.children():
            process.kill()

    request = ProbeRequest(path, 32, tmp_path / "found")
    with pytest.raises(WorkerError, match="killed by signal 9"):
        run.run(PROBE, request, kill)
    assert _found() == expected
    assert _server() == server

    def kill_all(_: object) -> None:
        children = server.children()
        server.kill()
        for child in children:
            child.kill()

    again = dataclasses.replace(request, output=tmp_path / "found again")
    with pytest.raises(WorkerError, match="nobody knows how"):
        run.run(PROBE, again, kill_all)
    assert _found() == expected  # in a process that was not forked


@pytest.mark.stops
@pytest.mark.usefixtures("shared_import")
def test_time_limit_and_interruption(path: Path, tmp_path: Path) -> None:
    _found()
    began = time.monotonic()
    request = ProbeRequest(path, 32, tmp_path / "found")
    with pytest.raises(WorkerError, match=r"took longer than 0\.1 s"):
        run.run(PROBE, request, time_limit=0.1)
    assert time.monotonic() - began < 20
    # A terminal's Ctrl-C reaches all processes of the command: the server stays for as long as its parent does.
    _server().send_signal(signal.SIGINT)
    # The one that was ended may have got as far as to make its folder.
    request = ProbeRequest(path, 32, tmp_path / "found again")
    with pytest.raises(WorkerError, match="KeyboardInterrupt"):
        run.run(PROBE, request, lambda _: _server().children()[0].send_signal(signal.SIGINT))
    _found()


@pytest.mark.long
@pytest.mark.stops
def test_a_killed_parent_takes_all_with_it(own_cli: Cli, path: Path, tiny_checkpoint: Path) -> None:
    command = [sys.executable, "-m", "exporter", "verify", path, "--checkpoint", tiny_checkpoint]
    with subprocess.Popen(
        list(map(str, command)), cwd=own_cli.cwd, env=own_cli.env, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        next(line for line in process.stderr if "running the artifact" in line)
        all_of_them = psutil.Process(process.pid).children(recursive=True)
        # What imported TensorFlow and the artifact's process, and perhaps that of the reference.
        assert 2 <= len(all_of_them) <= 3
        process.kill()
        process.wait()
        assert not psutil.wait_procs(all_of_them, timeout=30)[1]


@pytest.mark.long
def test_importing_the_jobs_starts_no_thread() -> None:
    """Threads do not survive a fork, and what they hold then is held for ever."""
    result = subprocess.run(
        [sys.executable, "-c", THREADS], cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=True
    )
    before, after = result.stdout.split()
    assert before == after
