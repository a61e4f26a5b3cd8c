"""Commands in forks, as most tests run them, do what new processes do."""

import importlib
import os
import pkgutil
from pathlib import Path
from unittest import mock

import psutil
import pytest

import exporter
from exporter.processes.environment import of_worker
from exporter.processes.job import Job
from tests.support import preloaded
from tests.support.command import Command, artifact_folder, forked, succeeded

pytestmark = pytest.mark.skipif(not preloaded.AVAILABLE, reason="commands are forked on Linux only")


@pytest.mark.parametrize(
    "args",
    [("--version",), ("models", "--json"), ("build", "nasnet_huge"), ("inspect", "nowhere"), ("models", "--nonsense")],
    ids=" ".join,
)
def test_a_fork_prints_and_ends_as_a_new_process_does(cli: Command, args: tuple[str, ...]) -> None:
    fork, new = cli(*args), cli.started(*args)
    assert (fork.returncode, fork.stdout, fork.stderr) == (new.returncode, new.stdout, new.stderr)


def test_it_has_its_own_folder_and_variables(own_cli: Command, tiny: Path) -> None:
    succeeded(own_cli("synth", tiny, "--output", "model.ckpt"))
    assert (own_cli.cwd / "model.ckpt.index").is_file()
    listed = own_cli.with_variables(NASEXPORT_CACHE_DIR=str(own_cli.cwd / "elsewhere"))("cache", "list")
    assert "elsewhere" in succeeded(listed).stdout + listed.stderr


def test_commands_and_their_workers_are_forks(cli: Command, tiny_artifacts: Path) -> None:
    """They are new processes, without anybody noticing, when their environment is no longer what was foreseen."""
    path = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5)
    succeeded(cli("inspect", path))
    servers = [psutil.Process(each.pid) for each in (forked().own, forked().workers)]
    before = [server.cpu_times().children_user for server in servers]

    def grown() -> bool:
        return all(server.cpu_times().children_user > time for server, time in zip(servers, before, strict=True))

    # The system counts in hundredths of a second, and one command may take less.
    for _ in range(30):
        succeeded(cli("inspect", path))
        if grown():
            break
    assert grown()


def test_every_worker_of_every_job_is_a_fork(cli: Command) -> None:
    jobs = [
        job
        for module in pkgutil.walk_packages(exporter.__path__, "exporter.")
        if module.name.endswith(".jobs")
        for job in vars(importlib.import_module(module.name)).values()
        if isinstance(job, Job)
    ]
    assert len(jobs) > 8
    with mock.patch.dict(os.environ, cli.env, clear=True):
        for job in jobs:
            for device in job.devices:
                assert forked().workers.fits(of_worker([job], device, debug=False)), (job.name, device)


def test_another_environment_starts_a_new_process(own_cli: Command, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('started')", encoding="utf-8")
    result = own_cli.with_variables(PYTHONPATH=str(tmp_path))("models")
    assert "started" in result.stderr
