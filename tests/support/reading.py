"""Reads artifacts with the scripts in ``tests/support/readers``, each in a process of a chosen interpreter."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import environments
from tests.support.shared import Store

SCRIPTS = Path(__file__).parent / "readers"

#: Readers by name: the newest TensorFlow at hand, and the oldest that the published pages promise.
READERS: Mapping[str, Callable[[], Path]] = {"current": environments.current, "tensorflow_1_15": environments.old}

#: The same, and one in between: the last with ``hub.Module``.
EVERY_TENSORFLOW = {**READERS, "tensorflow_2_15": environments.last_with_hub_module}

#: The same, and libraries of other formats.
EVERY_READER = {
    **EVERY_TENSORFLOW,
    "torch": environments.libraries,
    "onnxruntime": environments.oldest_onnx,
    "openvino": environments.libraries,
    "keras": environments.libraries,
    "oldest_keras": environments.oldest_keras,
}

#: Without TensorFlow's oneDNN kernels. Those of 2.21 write past their memory in the gradient of a strided 1x1
#: convolution with 4 or 8 channels, which only networks as tiny as those of the tests have; any program that has one
#: crashes there. PyTorch 2.13 has the same, of which ``keras_network`` is told by the same variable.
FOR_TINY_NETWORKS = {"TF_ENABLE_ONEDNN_OPTS": "0"}


@dataclass(frozen=True)
class Reading:
    """What a reader found: ``facts`` it printed, ``arrays`` it wrote."""

    facts: dict[str, Any]
    arrays: dict[str, Any]


def read(
    reader: str,
    script: str,
    artifact: Path,
    images: Any,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    *arguments: object,
) -> Reading:
    """Runs a script on an artifact; ``folder`` is for the files that they exchange, ``arguments`` come after it.

    Raises:
        AssertionError: the script failed; the message has the end of what it printed.
    """
    read_side_by_side(reader, script, [(artifact, images, folder)], variables, *arguments)
    return found(folder)


def read_side_by_side(
    reader: str,
    script: str,
    artifacts: Sequence[tuple[Path, Any, Path]],
    variables: Mapping[str, str] | None = None,
    *arguments: object,
) -> None:
    """The same for several artifacts, images and folders, with a script that takes them one after the other.

    So its imports are paid once. `found` has what is then in each folder.
    """
    for _, images, folder in artifacts:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "input.npz", images=images)
    pairs = [place for artifact, _, folder in artifacts for place in (artifact, folder)]
    process = run(EVERY_READER[reader](), script, *pairs, *arguments, variables=variables)
    assert process.returncode == 0, f"exit {process.returncode} of {script} with {reader}\n{process.stderr[-4000:]}"
    lines = process.stdout.splitlines()[-len(artifacts) :]
    for (_, _, folder), facts in zip(artifacts, lines, strict=True):
        (folder / "facts.json").write_text(facts, encoding="utf-8")


def read_once(
    store: Store,
    name: str,
    reader: str,
    script: str,
    artifact: Path,
    images: Any,
    variables: Mapping[str, str] | None = None,
    *arguments: object,
) -> Reading:
    """The same, by that name in a store, so that other processes of the run find it there."""
    return found(store.made(name, lambda folder: read(reader, script, artifact, images, folder, variables, *arguments)))


def found(folder: Path) -> Reading:
    """What a script left in its folder."""
    output = folder / "output.npz"
    arrays = {}
    if output.exists():
        with np.load(output) as file:
            arrays = {key: file[key] for key in file.files}
    return Reading(json.loads((folder / "facts.json").read_text(encoding="utf-8")), arrays)


def run(
    python: Path, script: str, *arguments: object, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, SCRIPTS / f"{script}.py", *map(str, arguments)],
        # PyTorch's threads would wait by computing, beside tests that do need the processors.
        env={
            **environments.clean_variables(),
            **{"TF_CPP_MIN_LOG_LEVEL": "2", "OMP_WAIT_POLICY": "PASSIVE"},
            **(variables or {}),
        },
        cwd=os.path.dirname(SCRIPTS),
        capture_output=True,
        text=True,
        check=False,
    )
