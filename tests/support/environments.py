"""The interpreters that artifacts are read with: the current one, older ones with the readers of their time, and others
with libraries that are too heavy to be installed beside the tests.
"""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import filelock
import pytest

from tests.support import shared
from tests.support.command import CHECKOUT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Reader:
    """An interpreter with one TensorFlow and what it needs beside it."""

    python: str
    tensorflow: str
    hub: str
    packages: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"TensorFlow {self.tensorflow}"

    @property
    def versions(self) -> str:
        return f"{self.python} {self.tensorflow} {self.hub}"

    @property
    def print_versions(self) -> str:
        """A program that prints ``versions``."""
        return _PRINT_VERSIONS

    @property
    def requirements(self) -> list[str]:
        return [f"tensorflow=={self.tensorflow}", f"tensorflow-hub=={self.hub}", *self.packages]


@dataclass(frozen=True)
class Libraries:
    """An interpreter with libraries of given versions; the first is the one that it is there for."""

    python: str
    requirements: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.requirements[0].replace("==", " ")

    @property
    def versions(self) -> str:
        return " ".join((self.python, *(requirement.partition("==")[2] for requirement in self.requirements)))

    @property
    def print_versions(self) -> str:
        """A program that prints ``versions``; what a build adds to a version after a plus sign is left out."""
        names = [requirement.partition("==")[0] for requirement in self.requirements]
        return (
            "import sys\n"
            "try: from importlib.metadata import version\n"
            "except ImportError: version = lambda name: __import__('pkg_resources').get_distribution(name).version\n"
            f"print('%d.%d' % sys.version_info[:2], *(version(name).partition('+')[0] for name in {names}))"
        )


Interpreter = Reader | Libraries


def _own_requirements() -> tuple[str, ...]:
    """What nasexport itself needs, as `pyproject.toml` has it."""
    project: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return tuple(project["dependencies"])


#: What the published pages name as the oldest reader.
OLDEST = Reader("3.7", "1.15.5", "0.12.0", ("protobuf==3.20.3", "numpy<1.19"))
#: The last TensorFlow with which tensorflow-hub still has ``hub.Module``.
LAST_WITH_HUB_MODULE = Reader("3.11", "2.15.1", "0.15.0", ("setuptools<81",))
#: The oldest TensorFlow that may write.
OLDEST_WRITER = Reader("3.11", "2.16.2", "0.16.1", ("tf-keras==2.16.0", "setuptools<81", *_own_requirements()))
#: PyTorch, timm, whose own networks are among these, Keras with the backends that nasexport itself does not have,
#: another library that reads ONNX models, and what the writer of PyTorch programs needs.
LIBRARIES = Libraries(
    "3.11",
    (
        *("torch==2.13.0", "timm==1.0.31", "safetensors==0.8.0", "numpy==2.4.6"),
        *("keras==3.15.1", "jax==0.10.2", "jaxlib==0.10.2", "openvino==2026.4.1"),
        *("isal==1.9.1", "msgspec==0.22.0", "pyyaml==6.0.3"),
    ),
)
#: The oldest Keras that is promised.
OLDEST_KERAS = Libraries("3.11", ("keras==3.6.0", "jax==0.4.30", "jaxlib==0.4.30", "numpy==1.26.4", "packaging==26.4"))
#: The first ONNX Runtime that computes these networks right: 1.12 and 1.13 read them, and do not with all of their
#: optimizations.
OLDEST_ONNX = Libraries("3.7", ("onnxruntime==1.14.1", "numpy==1.21.6", "protobuf==3.20.3"))
#: The last kagglehub that asks the server that a variable names.
LAST_WITH_ENDPOINT = Libraries(
    "3.11", ("kagglehub==0.3.13", "packaging==26.3", "pyyaml==6.0.3", "requests==2.34.2", "tqdm==4.70.1")
)
#: What `nasexport[publish]` has for S3 and Kaggle, and a server of S3. This kagglehub sends its questions by POST.
STORES = Libraries(
    "3.11",
    (
        *("s3fs==2026.9.0", "moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"),
        *("kagglehub==1.0.3", "kagglesdk==0.1.38"),
    ),
)
READERS = (
    *(OLDEST, LAST_WITH_HUB_MODULE, OLDEST_WRITER, LIBRARIES, OLDEST_ONNX, OLDEST_KERAS),
    *(LAST_WITH_ENDPOINT, STORES),
)

_PRINT_VERSIONS = (
    "import sys, tensorflow as tf, tensorflow_hub as hub\n"
    "print('%d.%d' % sys.version_info[:2], tf.__version__, hub.__version__)"
)


def current() -> Path:
    return Path(sys.executable)


def old() -> Path:
    """Python 3.7 with TensorFlow 1.15.5 and tensorflow-hub 0.12.0."""
    return reader(OLDEST)


def last_with_hub_module() -> Path:
    """Python 3.11 with TensorFlow 2.15.1 and tensorflow-hub 0.15.0."""
    return reader(LAST_WITH_HUB_MODULE)


def oldest_writer() -> Path:
    """A Python with the oldest TensorFlow that ``pyproject.toml`` allows to write, and all else that the tool needs."""
    return reader(OLDEST_WRITER)


def libraries() -> Path:
    """A Python with PyTorch, timm, Keras 3, JAX and OpenVINO, without TensorFlow."""
    return reader(LIBRARIES)


def oldest_keras() -> Path:
    """A Python with the oldest Keras that reads our files, on JAX."""
    return reader(OLDEST_KERAS)


def oldest_onnx() -> Path:
    """Python 3.7 with the oldest ONNX Runtime that is promised."""
    return reader(OLDEST_ONNX)


def last_with_endpoint() -> Path:
    """A Python with the last kagglehub that knows ``KAGGLE_API_ENDPOINT``."""
    return reader(LAST_WITH_ENDPOINT)


def stores() -> Path:
    """A Python with s3fs, moto and the kagglehub of today."""
    return reader(STORES)


def beside(python: Path) -> str:
    """A program that gives the current interpreter the packages of a reader, after its own.

    So a command has PyTorch that is installed for tests alone. Another Python than the reader's cannot use them: the
    test that asks is skipped.
    """
    found = next((python.parents[1] / "lib").glob("python3.*"))
    if found.name != f"python{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip(f"NOT TESTED: the packages are for {found.name}")
    return f"import sys\nsys.path.append({str(found / 'site-packages')!r})\n"


@functools.cache
def reader(wanted: Interpreter) -> Path:
    """The reader's interpreter, made where it is not there yet, in the cache folder of all runs.

    Without a Python of that version the test that asks is skipped: that reader stays untested, which the summary says.
    """
    return reader_in(shared.cache() / "readers", wanted)


def old_in(folder: Path) -> Path:
    """The oldest reader, in a given folder."""
    return reader_in(folder, OLDEST)


def reader_in(folder: Path, wanted: Interpreter) -> Path:
    """A reader in a given folder; a half-made one, of a run that was cut off, is made again."""
    folder.mkdir(parents=True, exist_ok=True)
    # The name tells of everything that is installed.
    digest = hashlib.sha256("\n".join(wanted.requirements).encode()).hexdigest()[:8]
    environment = folder / f"python{wanted.python}-{wanted.title.replace(' ', '').lower()}-{digest}"
    python = environment / "bin" / "python"
    complete = environment / "complete"
    with filelock.FileLock(environment.with_name(f"{environment.name}.lock")):
        # Where its Python was removed from the system, the name leads nowhere.
        if not (complete.exists() and python.exists()):
            base = _python(wanted.python) or _skip(wanted)
            shutil.rmtree(environment, ignore_errors=True)
            _install(base, environment, python, wanted)
            assert _run(python, "-c", wanted.print_versions).strip() == wanted.versions
            complete.touch()
    return python


def _install(base: Path, environment: Path, python: Path, wanted: Interpreter) -> None:
    """Makes a reader; with the tests' own pip where it is of that Python: to make and renew another takes 5 s."""
    pip: tuple[str | Path, ...]
    if wanted.python == f"{sys.version_info.major}.{sys.version_info.minor}":
        pip = (sys.executable, "-m", "pip", "--python", python)
        _run(base, "-m", "venv", "--without-pip", environment)
    else:
        pip = (python, "-m", "pip")
        _run(base, "-m", "venv", environment)
        _run(*pip, "install", "--quiet", "--upgrade", "pip")
    _run(*pip, "install", "--quiet", *wanted.requirements)


def clean_variables() -> dict[str, str]:
    """The variables of this process without those that lead another interpreter to this one's packages."""
    misleading = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYENV_VERSION", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in misleading}


def _skip(wanted: Interpreter) -> NoReturn:
    pytest.skip(f"NOT TESTED with {wanted.title}: there is no Python {wanted.python} on PATH")


def _python(version: str) -> Path | None:
    major, minor = version.split(".")
    program = f"import sys; print(sys.executable) if sys.version_info[:2] == ({major}, {minor}) else sys.exit(1)"
    for name, variables in _candidates(version):
        found = subprocess.run(
            [name, "-c", program], env={**clean_variables(), **variables}, capture_output=True, text=True, check=False
        )
        if found.returncode == 0:
            return Path(found.stdout.strip())
    return None


def _candidates(version: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Commands that may be that Python, each with the variables it needs."""
    if python := shutil.which(f"python{version}"):
        yield python, {}
        if pyenv := shutil.which("pyenv"):  # whose commands do nothing until they are told which one
            listed = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=False)
            for full in listed.stdout.split():
                if full.startswith(f"{version}."):
                    yield python, {"PYENV_VERSION": full}


def _run(*command: object) -> str:
    process = subprocess.run([*map(str, command)], env=clean_variables(), capture_output=True, text=True, check=False)
    assert process.returncode == 0, f"{' '.join(map(str, command))}\n{process.stdout}\n{process.stderr}"
    return process.stdout
