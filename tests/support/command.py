"""Runs the command line as its users do: in a process of its own, in a folder of its own."""

import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import preloaded

CHECKOUT = Path(__file__).resolve().parents[2]
#: No command of the tests takes a tenth of this; it ends a test that hangs.
TIMEOUT = 600

Result = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Command:
    """``nasexport`` with an own working folder, home, cache and folder for temporary files, all below ``folder``."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def cwd(self) -> Path:
        return self._made("work")

    @property
    def temporary(self) -> Path:
        """Where the command puts its temporary files; whatever is in it afterwards was left behind."""
        return self._made("temporary")

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def env(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            # TensorFlow sets TF2_BEHAVIOR where it is imported, in a process of tests perhaps.
            if not name.startswith(("NASEXPORT_", "XDG_", "TF_", "TF2_")) and not name.lower().endswith("_proxy")
        }
        return {
            **kept,
            "PYTHONPATH": str(CHECKOUT),
            "HOME": str(self._made("home")),
            "TMPDIR": str(self.temporary),
            "NASEXPORT_CACHE_DIR": str(self.cache),
            # oneDNN can crash in the gradients of networks as tiny as the tests' are (docs/tutorials/fine-tune-tf2.md).
            "TF_ENABLE_ONEDNN_OPTS": "0",
            **self.variables,
        }

    def with_variables(self, **variables: str) -> "Command":
        """The same command with more environment variables."""
        return Command(self.folder, {**self.variables, **variables})

    def with_job_doing(self, job: str, action: str, folder: Path) -> "Command":
        """The same command, in which each process that is started for a job, such as "INSPECT", first runs some Python.

        Args:
            action: one line of it; ``sys`` and ``time`` are imported.
            folder: where it is written down.
        """
        program = f"import sys, time\nif sys.argv[-1].endswith(':{job}'):\n    {action}\n"
        return self.with_program_first(program, folder)

    def with_program_first(self, program: str, folder: Path) -> "Command":
        """The same command, in which each process first runs some Python.

        Args:
            program: it must do the same before and after the imports of the command and its workers, since forks have
                done them.
            folder: where it is written down.
        """
        (folder / "sitecustomize.py").write_text(program, encoding="utf-8")
        return self.with_variables(**{"PYTHONPATH": f"{folder}:{self.env['PYTHONPATH']}", preloaded.SITE: str(folder)})

    def with_short_waits(self, folder: Path) -> "Command":
        """The same command, in which libraries that wait before they try again do so for a moment only.

        Args:
            folder: where the program that does it is written down.
        """
        program = "import time\nwait = time.sleep\ntime.sleep = lambda seconds: wait(min(seconds, 0.02))\n"
        return self.with_program_first(program, folder)

    def with_forked_workers(self) -> "Command":
        """The same command, as its users start it but for its workers: they are forks, and no children of it."""
        return self.with_variables(**{preloaded.STARTED: "1"})

    def arguments(self, *args: object) -> list[str]:
        forks = preloaded.AVAILABLE and preloaded.STARTED in self.variables
        return [sys.executable, *(("-c", forked().program) if forks else ("-m", "exporter")), *map(str, args)]

    def __call__(self, *args: object, cwd: Path | None = None) -> Result:
        """Runs it to its end, whatever that is; where it can, in a fork of a process that has done its imports."""
        if preloaded.AVAILABLE:
            result = forked().run([*map(str, args)], self.env, cwd or self.cwd, TIMEOUT)
            if result is not None:
                return result
        return self.started(*args, cwd=cwd)

    def started(self, *args: object, cwd: Path | None = None) -> Result:
        """Runs it to its end as its users start it."""
        return subprocess.run(
            self.arguments(*args),
            cwd=cwd or self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def begun(self, *args: object) -> "subprocess.Popen[str] | preloaded.Forked":
        """Starts it, in a fork where it can, and returns at once."""
        if preloaded.AVAILABLE and forked().own.fits(self.env):
            return forked().start([*map(str, args)], self.env, self.cwd)
        return self.start(*args)

    def start(self, *args: object, **options: Any) -> subprocess.Popen[str]:
        """Starts it and returns at once."""
        return subprocess.Popen(
            self.arguments(*args),
            cwd=self.cwd,
            env=self.env,
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                # A shell that starts a job in the background makes it deaf to Ctrl-C, and tests may run in one.
                "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
                **options,
            },
        )

    def _made(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path


@functools.cache
def forked() -> preloaded.Commands:
    """What commands are forked from, one for each process of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        return preloaded.Commands(Command(Path(folder)).env)


def succeeded(result: Result) -> Result:
    """The result, of a command that must have worked."""
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


def refusal(result: Result, status: int | None = None) -> str:
    """The message of a command that must have refused: one or two lines on standard error, no traceback.

    What comes before the message are lines of progress and warnings. Without a ``status``, the command must have ended
    with 1 (something is wrong) or 3 (it could not be done); ``tests/cli/test_statuses.py`` says when it is which.
    """
    wanted = (1, 3) if status is None else (status,)
    assert result.returncode in wanted, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    marker = "nasexport: error: "
    assert result.stderr.count(marker) == 1, result.stderr
    message = result.stderr.split(marker)[1].rstrip("\n")
    assert 1 <= len(message.splitlines()) <= 2, message
    return message


def artifact_folder(output: Path, name: str, task: str, version: int | str) -> Path:
    """Where an artifact lies below the folder that was named with ``--output``."""
    return output / "google" / "imagenet" / name / task / str(version)


def files_below(folder: Path) -> list[str]:
    """Every file and folder below ``folder``, hidden ones too; empty where it does not exist."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def peak_memory(pid: int) -> int:
    """The largest resident set since a process's program began, in bytes; wait4 would count its parent's too.

    0 where the system does not tell, or the process has ended.
    """
    try:
        match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0
