"""The folder that caches what benchmarks need: checkpoints, artifacts and exports of peers, made when first needed.

Output of the exporter or a peer is cached under a digest of its code, so that no figure is measured with the output of
older code.
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
from exporter.models.formats import Version
from exporter.models.variables import variables

#: The published models.
MODELS = tuple(name for name, config in configs.models().items() if config.published)

PEERS = ROOT / "benchmarks" / "peers"
ORIGINAL = PEERS / "original_toolchain.py"
PYTHON = sys.executable
TF2ONNX = "tf2onnx==1.17.0"
#: Variables for contestants that import from this checkout.
HERE = {"PYTHONPATH": str(ROOT)}
#: A reference for what is quick without TensorFlow, and for the speed of the machine around long measurements.
IMPORT = Contestant("python -c 'import tensorflow'", [PYTHON, "-c", "import tensorflow"])


def nasexport(*arguments: object) -> list[object]:
    """The command of a contestant that runs nasexport; needs the variables `HERE`."""
    return [PYTHON, "-m", "exporter", *arguments]


def peer(module: str, *arguments: object) -> list[object]:
    """The command of a peer in `benchmarks.peers`, run by this interpreter; needs the variables `HERE`."""
    return [PYTHON, "-m", f"benchmarks.peers.{module}", *arguments]


@dataclass
class Workspace:
    """``folder`` is kept between runs; ``log`` gets a line for each step; each contestant runs ``runs`` times."""

    folder: Path
    runs: int
    models: tuple[str, ...] = ()
    log: Callable[[str], object] = lambda _: None
    _pythons: dict[str, Path] = field(default_factory=dict)

    def chosen(self, default: tuple[str, ...]) -> list[ModelConfig]:
        """The models of ``default`` that the user chose; all of them if the user chose none."""
        return [configs.model(name) for name in default if not self.models or name in self.models]

    def take_turns(self, subject: str, contestants: list[Contestant], runs: int | None = None) -> dict[str, list[Run]]:
        """`measuring.take_turns` with this workspace's runs and logs."""
        log = lambda text: self.log(f"{subject}: {text}")  # noqa: E731
        return measuring.take_turns(contestants, runs or self.runs, self.folder / "logs" / subject, log)

    def scratch(self, name: str) -> Path:
        """A path for the output of a contestant, which `fresh` removes."""
        path = self.folder / "scratch" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def fresh(self, path: Path) -> Callable[[], None]:
        """A function that removes ``path``, to be called before each run of a contestant that writes it."""
        return lambda: shutil.rmtree(path, ignore_errors=True)

    def archive(self, config: ModelConfig) -> Path:
        """A synthetic checkpoint in the form of the published ones, a ``.tar.gz``."""
        path = self.folder / "checkpoints" / f"{config.name}.tar.gz"
        if not path.exists():
            self._run(f"checkpoint of {config.name}", nasexport("synth", config.name, "--output", path))
        return path

    def checkpoint(self, config: ModelConfig, source: Path | None = None) -> Path:
        """The prefix of an unpacked synthetic checkpoint of the model, which the YAML file ``source`` may define."""
        prefix = self.folder / "checkpoints" / config.name / "model.ckpt"
        if not prefix.with_name("model.ckpt.index").exists():
            name = source or config.name
            self._run(f"unpacked checkpoint of {config.name}", nasexport("synth", name, "--output", prefix))
        return prefix

    def network(self, config: ModelConfig) -> Path:
        """A JSON file with the configuration and the cells, for peers, which do not import the exporter."""
        family = FAMILIES[config.family]
        cells = {
            "normal": _cell(family.normal),
            "reduction": _cell(family.reduction),
            "inserts_reductions": family.inserts_reductions,
            "stem_cells_in_drop_path": family.stem_cells_in_drop_path,
        }
        return self._written(f"{config.name}.json", json.dumps({**config.to_dict(), "cells": cells}))

    def names(self, config: ModelConfig) -> Path:
        """A JSON file with the names of all variables of the classification network."""
        listed = [spec.name for spec in variables(config, "classification")]
        return self._written(f"{config.name}.names.json", json.dumps(listed))

    def yaml(self, fields: Mapping[str, Any]) -> Path:
        """A YAML file with a model configuration, to be used as MODEL on the command line."""
        return self._written(f"{fields['name']}.yaml", yaml.safe_dump(dict(fields)))

    def artifact(self, config: ModelConfig, task: Task, version: Version) -> Path:
        """An artifact that this checkout wrote, without verification."""
        output = self.folder / "artifacts" / _digest(ROOT / "exporter", ROOT / "configs")
        path = output / "google" / "imagenet" / config.name / task / str(version)
        if not path.exists():
            which = ("--format", version) if isinstance(version, str) else ("--version", version)
            options = (*which, "--task", task, "--no-verify", "--output", output)
            command = nasexport("build", config.name, *options, "--checkpoint", self.checkpoint(config))
            variables = self.with_torch() if version == "pytorch" else HERE
            self._run(f"{config.name} {task} version {version}", command, variables)
        return path

    def keras_export(self, config: ModelConfig) -> Path:
        """Keras's export of its own network of that name."""
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
        """The folder that a peer writes; it appears only once it is complete."""
        path = self.folder / "peers" / folder
        if not path.exists():
            staged = path.with_name(f".{folder}.new")
            shutil.rmtree(staged, ignore_errors=True)
            staged.parent.mkdir(parents=True, exist_ok=True)
            self._run(name, command(staged), env)
            os.replace(staged, path)
        return path

    def original_toolchain(self, config: ModelConfig, output: Path) -> list[object]:
        """The command that builds a module with TensorFlow 1.15, as the published ones were built."""
        return [self.python("old", "TensorFlow 1.15"), ORIGINAL, self.network(config), self.checkpoint(config), output]

    def python(self, name: str, title: str) -> Path:
        """An interpreter with other libraries, found or installed as tests do it: a function of
        `tests.support.environments`, and what it is there for.

        Raises:
            BenchmarkError: there is no Python of its version, or it cannot be installed.
        """
        import pytest

        from tests.support import environments

        if name not in self._pythons:
            self.log(f"looking for {title} (it is installed if it is missing)")
            try:
                self._pythons[name] = getattr(environments, name)()
            except (pytest.skip.Exception, AssertionError) as error:
                raise BenchmarkError(
                    f"{title} cannot be run: {' '.join(str(error).split())[:300]}\n"
                    f"put its Python on PATH, or choose other figures with --only"
                ) from error
        return self._pythons[name]

    def with_torch(self) -> dict[str, str]:
        """Variables with which nasexport also finds PyTorch, which is not among its tests' packages."""
        from tests.support import environments

        folder = self.folder / "with-torch"
        folder.mkdir(parents=True, exist_ok=True)
        program = environments.beside(self.python("torch", "PyTorch"))
        (folder / "sitecustomize.py").write_text(program, encoding="utf-8")
        return {"PYTHONPATH": os.pathsep.join((str(ROOT), str(folder)))}

    def with_tf2onnx(self) -> dict[str, str]:
        """Variables with which this interpreter finds tf2onnx; TensorFlow, ONNX and NumPy are those of this one."""
        folder = self.folder / TF2ONNX
        if not folder.exists():
            staged = folder.with_name(f".{TF2ONNX}.new")
            shutil.rmtree(staged, ignore_errors=True)
            command = [PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", "--target", staged, TF2ONNX]
            self._run(TF2ONNX, command, {})
            os.replace(staged, folder)
        return {"PYTHONPATH": str(folder)}

    def _written(self, name: str, text: str) -> Path:
        path = self.folder / "networks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def _run(self, name: str, command: list[object], env: Mapping[str, str] = HERE) -> Run:
        """Makes something that a measurement needs."""
        self.log(f"making {name}")
        return measuring.measure(Contestant(name, command, env), self.folder / "logs" / "made")


def size_below(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _cell(cell: Cell) -> dict[str, Any]:
    combinations = [[[branch.kind, branch.kernel, branch.state] for branch in both] for both in cell.combinations]
    return {"combinations": combinations, "concatenated": list(cell.concatenated)}


def _digest(*paths: Path) -> str:
    """Changes with any code or configuration file in ``paths``, and with the versions of TensorFlow and Keras."""
    digest = hashlib.sha256(" ".join(map(metadata.version, ("tensorflow", "keras"))).encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".yaml", ".json"):
                digest.update(os.fsencode(file.relative_to(ROOT)) + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
