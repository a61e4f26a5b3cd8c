"""The folder that keeps what is dear to make: checkpoints, artifacts, exports of peers; each is made when asked for.

What the exporter or a peer writes is kept under a digest of its code, so that a change of code is never measured by
what was written before it.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from benchmarks import measuring
from benchmarks.measuring import ROOT, BenchmarkError, Contestant, Run
from exporter.models import config as configs
from exporter.models.cells import FAMILIES, Cell
from exporter.models.config import ModelConfig, Task
from exporter.models.variables import variables

#: The published models, which all figures are about unless others are asked for.
MODELS = tuple(name for name, config in configs.models().items() if config.published)

PEERS = ROOT / "benchmarks" / "peers"
ORIGINAL = PEERS / "original_toolchain.py"
PYTHON = sys.executable
#: For contestants that need what lies in this checkout.
HERE = {"PYTHONPATH": str(ROOT)}
#: Beside what is quick without it, and beside what takes so long that the machine may be slower by then.
IMPORT = Contestant("python -c 'import tensorflow'", [PYTHON, "-c", "import tensorflow"])


def nasexport(*arguments: object) -> list[object]:
    """The command line as a contestant runs it, with `HERE`."""
    return [PYTHON, "-m", "exporter", *arguments]


def peer(module: str, *arguments: object) -> list[object]:
    """A peer of this package, run by this interpreter, with `HERE`."""
    return [PYTHON, "-m", f"benchmarks.peers.{module}", *arguments]


@dataclass
class Workspace:
    """``folder`` is kept between runs; ``report`` is told what is being done; each contestant runs ``runs`` times."""

    folder: Path
    runs: int
    models: tuple[str, ...] = ()
    report: Callable[[str], object] = lambda _: None
    _seen: dict[str, Any] = field(default_factory=dict)

    def chosen(self, default: tuple[str, ...]) -> list[ModelConfig]:
        """The models to measure: those of ``default`` that were asked for, all of it if none was."""
        return [configs.model(name) for name in default if not self.models or name in self.models]

    def take_turns(self, subject: str, contestants: list[Contestant], runs: int | None = None) -> dict[str, list[Run]]:
        """As `measuring.take_turns` does it."""
        report = lambda text: self.report(f"{subject}: {text}")  # noqa: E731
        return measuring.take_turns(contestants, runs or self.runs, self.folder / "logs" / subject, report)

    def scratch(self, name: str) -> Path:
        """Where a contestant writes; it is emptied by `fresh`."""
        path = self.folder / "scratch" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def fresh(self, path: Path) -> Callable[[], None]:
        """What clears the way for a contestant that writes to ``path``."""
        return lambda: shutil.rmtree(path, ignore_errors=True)

    def archive(self, config: ModelConfig) -> Path:
        """A synthetic checkpoint as the published ones come: a ``.tar.gz``."""
        path = self.folder / "checkpoints" / f"{config.name}.tar.gz"
        if not path.exists():
            self._run(f"checkpoint of {config.name}", nasexport("synth", config.name, "--output", path))
        return path

    def checkpoint(self, config: ModelConfig, source: Path | None = None) -> Path:
        """The prefix of a synthetic checkpoint that is unpacked, of the model or of the YAML file ``source``."""
        prefix = self.folder / "checkpoints" / config.name / "model.ckpt"
        if not prefix.with_name("model.ckpt.index").exists():
            name = source or config.name
            self._run(f"unpacked checkpoint of {config.name}", nasexport("synth", name, "--output", prefix))
        return prefix

    def network(self, config: ModelConfig) -> Path:
        """A JSON file with the configuration, and its cells as data: peers do not import the exporter."""
        family = FAMILIES[config.family]
        cells = {
            "normal": _cell(family.normal),
            "reduction": _cell(family.reduction),
            "inserts_reductions": family.inserts_reductions,
            "stem_cells_in_drop_path": family.stem_cells_in_drop_path,
        }
        return self._written(f"{config.name}.json", json.dumps({**config.to_dict(), "cells": cells}))

    def names(self, config: ModelConfig) -> Path:
        """A JSON file with the names of all variables of a classification artifact."""
        listed = [spec.name for spec in variables(config, "classification")]
        return self._written(f"{config.name}.names.json", json.dumps(listed))

    def yaml(self, fields: Mapping[str, Any]) -> Path:
        """A configuration of one's own, a MODEL for the command line."""
        return self._written(f"{fields['name']}.yaml", yaml.safe_dump(dict(fields)))

    def artifact(self, config: ModelConfig, task: Task, version: int) -> Path:
        """An artifact as this checkout writes it, not verified."""
        output = self.folder / "artifacts" / _digest(ROOT / "exporter", ROOT / "configs")
        path = output / "google" / "imagenet" / config.name / task / str(version)
        if not path.exists():
            options = ("--version", version, "--task", task, "--no-verify", "--output", output)
            command = nasexport("build", config.name, *options, "--checkpoint", self.checkpoint(config))
            self._run(f"{config.name} {task} version {version}", command)
        return path

    def keras_export(self, config: ModelConfig) -> Path:
        """What Keras exports of its network of that name."""
        command = lambda path: peer("keras_export", self.network(config), path)  # noqa: E731
        digest = _digest(PEERS / "keras_export.py", PEERS / "keras_network.py")
        return self._exported(f"Keras export of {config.name}", f"keras-{config.name}-{digest}", command, HERE)

    def original_export(self, config: ModelConfig) -> Path:
        """The TF1 Hub module that the original toolchain writes."""
        command = lambda path: self.original_toolchain(config, path)  # noqa: E731
        name = f"module of {config.name} by the original toolchain"
        return self._exported(name, f"original-{config.name}-{_digest(ORIGINAL)}", command, {})

    def _exported(
        self, name: str, folder: str, command: Callable[[Path], list[object]], env: Mapping[str, str]
    ) -> Path:
        """The folder that a peer writes, there only when it is whole."""
        path = self.folder / "peers" / folder
        if not path.exists():
            made = path.with_name(f".{folder}.new")
            shutil.rmtree(made, ignore_errors=True)
            made.parent.mkdir(parents=True, exist_ok=True)
            self._run(name, command(made), env)
            os.replace(made, path)
        return path

    def original_toolchain(self, config: ModelConfig, output: Path) -> list[object]:
        """The command that builds a module as it was done under TensorFlow 1.15."""
        return [self._old_python(), ORIGINAL, self.network(config), self.checkpoint(config), output]

    def _old_python(self) -> Path:
        """Python 3.7 with TensorFlow 1.15.5 and tensorflow-hub 0.12, as the tests find or make it."""
        import pytest

        from tests.support import environments

        if "python" not in self._seen:
            self.report("looking for TensorFlow 1.15 (it is installed where it is missing)")
            try:
                self._seen["python"] = environments.old()
            except (pytest.skip.Exception, AssertionError) as error:
                raise BenchmarkError(
                    f"the original toolchain cannot be run: {' '.join(str(error).split())[:300]}\n"
                    f"have Python 3.7 on PATH, or leave its figures out with --only"
                ) from error
        return self._seen["python"]

    def _written(self, name: str, text: str) -> Path:
        path = self.folder / "networks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def _run(self, name: str, command: list[object], env: Mapping[str, str] = HERE) -> Run:
        """Something that has to be there before anything is measured."""
        self.report(f"making: {name}")
        return measuring.measure(Contestant(name, command, env), self.folder / "logs" / "made")


def size_below(folder: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _cell(cell: Cell) -> dict[str, Any]:
    combinations = [[[branch.kind, branch.kernel, branch.state] for branch in both] for both in cell.combinations]
    return {"combinations": combinations, "concatenated": list(cell.concatenated)}


def _digest(*paths: Path) -> str:
    """Changes with any file of code or configuration in ``paths``, and with the libraries that write."""
    digest = hashlib.sha256(" ".join(map(metadata.version, ("tensorflow", "keras"))).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".yaml", ".json"):
                digest.update(os.fsencode(file.relative_to(ROOT)) + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
