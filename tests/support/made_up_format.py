"""A format that nobody has, in one row and one module: that is all it takes to add one.

Its artifacts are files of NumPy arrays, ``model.npz``, with the values of a network and nothing else; its answer is
always the same. `added` gives a command that knows it.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from exporter.models.config import ModelConfig, Task
from exporter.models.formats import FormatSpec, VersionSpec
from exporter.models.variables import variables
from tests.support.command import Command

NAME, FILE = "numpy_arrays", "model.npz"
_HERE = "tests.support.made_up_format"
SPEC = FormatSpec(
    name=NAME,
    title="file of NumPy arrays",
    framework="NumPy",
    library="numpy",
    versions=(
        VersionSpec(7, momentum_settable=False, momentum=0.5, serving=False, readers="NumPy", changes=("It is new.",)),
    ),
    default_version=7,
    files=(FILE,),
    more_files=("notes.txt",),
    folders=("more",),
    writes=(FILE,),
    has_objects=None,
    inspect=f"{_HERE}:inspect",
    stored=f"{_HERE}:Stored",
    writer=f"{_HERE}:Writer",
    probe=f"{_HERE}:probe",
    compare=f"{_HERE}:compare",
    guess_version=f"{_HERE}:guess_version",
    load=f"{_HERE}:load",
    page="model_saved_model_2.md",
    example="index_saved_model_2.html",
    writes_with_tensorflow=False,
    runs_with_tensorflow=False,
    runtime=(("NumPy", "numpy"),),
)


def added(command: Command, folder: Path) -> Command:
    """The same command with the format in its table; ``folder`` is where the module goes that puts it there."""
    folder.mkdir()
    text = f"from exporter.models import formats\nfrom {_HERE} import SPEC\nformats.FORMATS[SPEC.name] = SPEC\n"
    # The command line's own choices of formats are made when it is imported.
    return command.with_program_first(text, folder).with_forked_workers()


class Writer:
    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        self._values = {spec.name: np.asarray(values[spec.name]) for spec in variables(config, task)}

    def write(self, version: int, folder: Path, momentum: float) -> None:
        folder.mkdir()
        np.savez(folder / FILE, **self._values)  # type: ignore[arg-type]


def values(folder: Path) -> dict[str, Any]:
    """The arrays of an artifact, by name."""
    with np.load(folder / FILE) as file:
        return {name: file[name] for name in file.files}


class Stored:
    def __init__(self, folder: Path, count: int):
        self._values = values(folder)

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def read(self, name: str) -> Any:
        return self._values[name]

    def kind(self, name: str) -> str:
        return f"{self._values[name].dtype} {list(self._values[name].shape)}"


def inspect(folder: Path) -> Any:
    from exporter.artifact.jobs import Inspection, VariableFacts, VariablesFacts

    found = values(folder)
    listed = tuple(VariableFacts(name, str(value.dtype), value.shape, None) for name, value in found.items())
    parameters = sum(value.size for value in found.values())
    return Inspection(
        path=str(folder),
        format=NAME,
        handle=None,
        tag_sets=(),
        signatures={},
        functions={},
        image_size=None,
        variables=VariablesFacts(len(found), 0, parameters, listed),
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        oldest_tensorflow=None,
        findings=("it is no SavedModel",),
        written_by=None,
        tensorflow_version="",
        source=None,
        options=None,
        verified=None,
    )


def probe(path: Path, images: Any, found: Any, previous: Mapping[Path, str | None], say: Any, scratch: Path) -> Any:
    from exporter.files.arrays import digest
    from exporter.probe.observations import ProbedFile

    say("running the artifact")
    arrays = values(path)
    digests = [digest(value) for value in arrays.values()]
    found.variables(list(arrays), digests)
    found.digests_after_inference(digests)
    found.trainable([name for name in arrays if "/moving_" not in name])
    return ProbedFile((), None)


def compare(expected: Any, reference: Any, found: Any, problems: list[str]) -> Any:
    from exporter.verification.checks import variables_checks

    specs = variables(expected.config, expected.task)
    return list(variables_checks(specs, reference.digests, found.variables, found.trainable, ordered=False))


def guess_version(signatures: Collection[str]) -> int:
    return SPEC.versions[0].number


def load(folder: Path) -> Any:
    from exporter.evaluation.loaded_model import Loaded

    classes = len(values(folder)["final_layer/FC/biases"])
    return Loaded(lambda images: np.tile(np.arange(classes), (len(images), 1)), None)
