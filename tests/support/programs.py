"""Runs programs that use the package `nasexport`, each in a process of its own; see `tests.support.preloaded`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

from exporter.processes.environment import of_worker
from tests.support import preloaded
from tests.support.command import TIMEOUT, Command, Result, forked


def said(result: Result) -> Any:
    """What a program that must have worked printed as its last line, as JSON."""
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return json.loads(result.stdout.splitlines()[-1])


def run(command: Command, program: str, *arguments: object, variables: Mapping[str, str] | None = None) -> Result:
    """Runs a program in the surroundings of a command; the workers that it starts are forks where they can be."""
    environment = {**command.env, **(variables or {})}
    if preloaded.AVAILABLE and forked().own.fits(environment):
        return _run(forked().own.address, f"{forked().workers_program}\n{program}", arguments, environment, command)
    return _started(program, arguments, environment, command)


def run_with_tensorflow(command: Command, program: str, *arguments: object) -> Result:
    """The same in a process that has imported TensorFlow and tensorflow-hub."""
    with mock.patch.dict(os.environ, command.env, clear=True):
        environment = of_worker([], "cpu", debug=False)
    if preloaded.AVAILABLE:
        return _run(forked().workers.address, program, arguments, environment, command)
    return _started(program, arguments, environment, command)


def _run(address: str, program: str, arguments: Any, environment: Mapping[str, str], command: Command) -> Result:
    started = preloaded.Forked(
        address,
        program,
        ["-c", *map(str, arguments)],
        environment,
        command.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = started.communicate(TIMEOUT)
    assert started.returncode is not None
    return Result(["program"], started.returncode, output, errors)


def _started(program: str, arguments: Any, environment: Mapping[str, str], command: Command) -> Result:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment,
        cwd=command.cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
