"""Disks of the tests' own: small ones, and those that can only be read."""

import shutil
import subprocess

import pytest

from tests.support.command import TIMEOUT, Command, Result


def in_namespace(command: Command, script: str) -> Result:
    """Runs a shell script, as the command is run, that may mount what it likes; skips where no user can do that."""
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    return subprocess.run(
        [*unshare, script],
        cwd=command.cwd,
        env=command.env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
