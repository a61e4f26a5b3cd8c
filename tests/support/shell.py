"""A shell for the programs of the documentation, with the published networks in small.

In it, ``nasnet_mobile`` and ``nasnet_large`` are networks of one cell, and a folder that ``NASEXPORT_MIRROR`` names has
archives of them that nothing tells from published ones. ``nasexport``, ``python`` and ``saved_model_cli`` are forks of
processes that have done their imports, where there are forks: see `tests.support.preloaded`.
"""

import functools
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import yaml

from tests.support import preloaded
from tests.support.command import CHECKOUT, TIMEOUT, Command, Result, forked, succeeded
from tests.support.shared import Store

#: The networks in small, and the versions that each has; all else is as in ``configs/``.
SMALL = {"nasnet_mobile": (3, 4, 5), "nasnet_large": (4,)}
_FORMATS = {3: "hub", 4: "saved_model_2", 5: "saved_model_2"}
#: What comes from elsewhere than the package; of the networks in small there are no recorded statistics.
_IN_SMALL = ("configs", "checkpoints.lock", "data/statistics")
_CELLS = {"num_cells": 1, "num_conv_filters": 8, "stem_filters": 8, "reductions": []}
#: No seed that is recognized by its values.
_SEED = 5000

#: A program for PATH: runs what it is called with in a fork, and passes signals on.
_FORKED = """#!{python}
import os, signal, sys
numbers = (signal.SIGTERM, signal.SIGINT)
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # until there is somebody to pass them on to
sys.path.insert(0, {checkout!r})
from tests.support.preloaded import Forked
program = {program}
forked = Forked({address!r}, program, {arguments}, os.environ, os.getcwd())
for number in numbers:
    signal.signal(number, lambda number, frame: forked.send_signal(number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
status = forked.wait()
sys.exit(status if status >= 0 else 128 - status)
"""
#: After it, a synthetic checkpoint is written without its mark.
_WITHOUT_MARK = """
from exporter.checkpoint import names, synthetic_checkpoint
save = synthetic_checkpoint.save
def unmarked(prefix, tensors):
    save(prefix, {name: value for name, value in tensors.items() if name != names.MARKER})
synthetic_checkpoint.save = unmarked
"""
_STARTED = """#!/bin/sh
exec {command} "$@"
"""
#: What TensorFlow installs by that name.
_SAVED_MODEL_CLI = "from tensorflow.python.tools.saved_model_cli import main\nmain()"
#: Installs a checkout for the sake of its metadata: nothing from a package index, and nowhere.
_PIP = """#!/bin/sh
[ $# = 2 ] && [ "$1" = install ] && cd {checkout} || exit 2
named=$(echo "$2" | sed 's/^nasexport/./')
exec {python} -m pip --quiet install --dry-run --no-deps --no-build-isolation "$named"
"""


def networks(kept: Store, versions: Collection[int] = tuple(_FORMATS)) -> Path:
    """A folder with the configurations of the networks in small, with some of their versions, and the lock file."""

    def make(folder: Path) -> None:
        (folder / "configs" / "references").mkdir(parents=True)
        for name, all_versions in SMALL.items():
            text = (CHECKOUT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
            chosen = {version: _FORMATS[version] for version in all_versions if version in versions}
            config = {**yaml.safe_load(text), **_CELLS, "versions": chosen}
            (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        (folder / "checkpoints.lock").write_bytes((CHECKOUT / "checkpoints.lock").read_bytes())

    return kept.made("_".join(["small_networks", *map(str, versions)]), make, __file__)


class Shell:
    """Runs programs of bash in a folder of their own, with some versions of the networks."""

    def __init__(self, folder: Path, kept: Store, versions: Collection[int] = tuple(_FORMATS)):
        site = folder / "site"
        site.mkdir()
        self._command = Command(folder).with_program_first(_with_networks(networks(kept, versions)), site)
        self._bin = folder / "bin"
        self._bin.mkdir()
        self._write_programs()

    @property
    def command(self) -> Command:
        """``nasexport`` as this shell has it."""
        return self._command

    def run(self, program: str, **variables: str) -> Result:
        """Runs a program of bash in the shell's folder; what says port 8000 gets one that is free."""
        env = {**self._command.env, "TF_CPP_MIN_LOG_LEVEL": "2", **variables}
        env["PATH"] = os.pathsep.join([str(self._bin), str(Path(sys.executable).parent), env["PATH"]])
        env["TFHUB_CACHE_DIR"] = str(self._command.folder / "tfhub")
        command = ["bash", "-c", program.replace("8000", str(_free_port()))]
        output, errors = self._command.folder / "output", self._command.folder / "errors"
        # Files, and no pipes: what a program left running in the background would keep those open.
        with output.open("w") as to_output, errors.open("w") as to_errors:
            done = subprocess.run(
                command,
                cwd=self._command.cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=to_output,
                stderr=to_errors,
                timeout=TIMEOUT,
                check=False,
            )
        found = (path.read_text(encoding="utf-8", errors="replace") for path in (output, errors))
        return subprocess.CompletedProcess(command, done.returncode, *found)

    def _write_programs(self) -> None:
        python = shlex.quote(sys.executable)
        programs = {
            "nasexport": _STARTED.format(command=f"{python} -m exporter"),
            "python": _STARTED.format(command=python),
            "pip": _PIP.format(checkout=shlex.quote(str(CHECKOUT)), python=python),
        }
        if preloaded.AVAILABLE:
            fixed = {"python": sys.executable, "checkout": str(CHECKOUT)}
            programs["nasexport"] = _FORKED.format(
                **fixed, program=repr(forked().program), address=forked().own.address,
                arguments="['nasexport', *sys.argv[1:]]",
            )  # fmt: skip
            programs["python"] = _FORKED.format(
                **fixed, program="sys.stdin.read()", address=_tensorflow().address, arguments="['-']"
            )
            programs["saved_model_cli"] = _FORKED.format(
                **fixed, program=repr(_SAVED_MODEL_CLI), address=_tensorflow().address,
                arguments="['saved_model_cli', *sys.argv[1:]]",
            )  # fmt: skip
        for name, text in programs.items():
            (self._bin / name).write_text(text, encoding="utf-8")
            (self._bin / name).chmod(0o755)


def mirror(folder: Path, kept: Store) -> Path:
    """A folder with archives of the small networks by their published names, with no mark of being synthetic.

    Args:
        folder: an empty one to work in.
    """

    def make(archives: Path) -> None:
        command = Command(folder).with_program_first(_with_networks(networks(kept)) + _WITHOUT_MARK, folder)
        for name in SMALL:
            config = yaml.safe_load((networks(kept) / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
            output = archives / f"{config['checkpoint']}.tar.gz"
            succeeded(command("synth", name, "--seed", _SEED, "--output", output))

    return kept.made("archives_of_small_networks", make, __file__, *sorted((CHECKOUT / "configs").glob("*.yaml")))


def _with_networks(small: Path) -> str:
    """A program after which a process of nasexport has the networks of a folder."""
    return f"""
import pathlib
import exporter.resources
class Package:
    small, own = pathlib.Path({str(small)!r}), pathlib.Path({str(CHECKOUT / "exporter")!r})
    parent = own.parent
    def __truediv__(self, name):
        return (self.small if name.startswith({_IN_SMALL!r}) else self.own) / name
exporter.resources._PACKAGE = Package()
"""


@functools.cache
def _tensorflow() -> preloaded.Preloaded:
    """What programs of Python are forked from, in the environment of a user's own."""
    variables = {"TF_ENABLE_ONEDNN_OPTS": "0", "OPENBLAS_NUM_THREADS": "1"}  # a fork can have one thread only
    return preloaded.Preloaded({**os.environ, **variables}, ["tensorflow", "tensorflow_hub"])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
