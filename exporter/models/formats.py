"""The formats of artifacts, a row each: what differs between formats is named here, and nowhere decided by an ``if``.

A row names functions as ``module:name``, since those modules import this one; `pkgutil.resolve_name` gives the function
where it is called. Each format that can be written has a module of its own, under one name, in ``exporter.artifact``,
``exporter.probe``, ``exporter.verification`` and ``exporter.evaluation``.
"""

import dataclasses
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from exporter.errors import MachineError

#: The name of a format, a key of `FORMATS`.
Format: TypeAlias = str

#: The last part of an artifact's handle: the number it was published under, or the name of a format without numbers.
Version: TypeAlias = int | str

#: Decay of the moving averages when an artifact of version 3 and later is fine-tuned, unless told otherwise.
DEFAULT_MOMENTUM = 0.99

#: What a verification sets the momentum to in a training step; far from every default.
TRAINING_MOMENTUM = 0.75

#: Decay of the moving averages while the published checkpoints were trained; that of versions 1 and 2.
TRAINING_DECAY = 0.9997

#: What marks a folder as a TF1 Hub module, beside its ``saved_model.pb``.
HUB_MODULE_FILE = "tfhub_module.pb"
_SAVED_MODEL_FILE = "saved_model.pb"
ONNX_FILE = "model.onnx"
KERAS_FILE = "model.keras"
TIMM_FILES = ("model.safetensors", "config.json")
LITERT_FILE, LITERT_MORE_FILES = "model.tflite", ("preprocessing.json", "labels.txt")
PYTORCH_FILE = "model.pt2"
#: What a SavedModel has beside its graph.
_VALUES = ("assets/", "variables/variables.data-00000-of-00001", "variables/variables.index")
_TENSORFLOW = (("TensorFlow", "tensorflow"),)


@dataclass(frozen=True)
class VersionSpec:
    """What artifacts of a format have from the version ``number`` on, until another row says otherwise.

    ``number`` is 0 in a format without version numbers. ``momentum_settable`` is whether a reader can choose the
    momentum of batch norm in training, ``momentum`` the default decay of the moving averages, from 0 to 1, None where
    there is no training. ``serving`` is whether there is a ``serving_default`` signature. Model pages show ``readers``,
    what it takes to load one, and ``changes``, what came with this version; each is a sentence in Markdown.
    """

    number: int
    momentum_settable: bool
    momentum: float | None
    serving: bool
    readers: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class FormatSpec:
    """All that differs between a format and the others.

    Args:
        name: what configurations, ``--format`` and ``nasexport.json`` call it.
        title: what people call it.
        framework: what a program loads it with, in two words at most.
        library: the same as Hugging Face calls it, for the card of a model.
        versions: what each of its versions has, in ascending order; a format whose artifacts have no version numbers
            has one row. Empty for a format that cannot be written.
        default_version: the version that the name alone means; None for a format without version numbers.
        files: names of the files that a folder has if it is an artifact of this format, the model itself first.
        more_files: names of other files that it may have.
        folders: names of folders that it may have, with files in them.
        writes: paths of all that ``writer`` writes, folders without files in them with a slash at the end.
        has_objects: whether its SavedModel has an object graph, where that tells it from a format of the same files.
        inspect: describes a folder, as `exporter.artifact.saved_model_inspection.describe` does.
        stored: reads the variables in a folder, as `exporter.artifact.saved_model_variables.SavedModelVariables` does.
        writer: an `exporter.artifact.export.Writer`; None for a format that cannot be written.
        probe: loads and runs an artifact, as `exporter.probe.saved_model.probe` does.
        compare: checks what a probe found, as `exporter.verification.saved_model.compare` does.
        guess_version: the version of an artifact of unknown origin, from the names of its signatures.
        load: loads a folder for predictions, as `exporter.evaluation.saved_model.load` does.
        refused: lists what in a folder could do more than compute, as `exporter.artifact.saved_model_trust.refused`
            does; None for a format that can do no more.
        completed: writes what the folder of an artifact has beside the file of the model, for one that came without
            it; None for a format that needs no other file, or that cannot do without. Called with the file where it
            lies and the folder.
        page: the template of what is the format's own on a model page; None for a format that cannot be written.
        example: the template of the program on the index page that loads an artifact; None as above.
        writes_with_tensorflow: whether ``writer`` is imported before processes are forked that need it. What starts
            threads when it is imported must not be: forked processes do not have them.
        writing_memory: what ``writer`` is expected to need for each byte of the network's weights, in bytes, where that
            is more than the export job's row has.
        runs_with_tensorflow: the same for ``probe``; without it, an artifact is probed in a process without TensorFlow.
        imported_once: whether the library that ``probe`` runs, which is not TensorFlow, takes long to be imported, and
            processes are forked from one that has done that. What starts threads when it is imported must not be.
        runs_eagerly: whether ``probe`` holds every feature map of a run until its end, which takes memory.
        extra: the extra of this package that brings what ``writer``, ``probe`` and ``load`` need, None for no other.
        packages: the packages besides TensorFlow that write an artifact and read its files, those of ``extra`` among
            them, by the names that they are installed under.
        running_packages: those that load and run one besides, which describing it does without.
        runtime: what runs an artifact to verify it: what people call each library, and the name of its package.
        choices: the fields of `exporter.artifact.options.ArtifactOptions` that it has besides the momentum.
        shares_between_tasks: whether artifacts of both tasks share work, where one is verified after the other.
        trains_in_double: whether ``probe`` trains with batch norms in double precision, as their rounding differs too
            much from TensorFlow's.
        labels_file: the one of ``writes`` that is there for a classifier of ImageNet's classes alone; None for none.
        folds_batch_norms: whether its files have no batch norms, but kernels that these are multiplied into.
        kaggle_framework: the framework that Kaggle lists its published artifacts under; None where none were published.
    """

    name: Format
    title: str
    framework: str
    library: str
    versions: tuple[VersionSpec, ...]
    default_version: int | None
    files: tuple[str, ...]
    more_files: tuple[str, ...]
    folders: tuple[str, ...]
    writes: tuple[str, ...]
    has_objects: bool | None
    inspect: str
    stored: str
    writer: str | None
    probe: str
    compare: str
    guess_version: str
    load: str
    page: str | None
    example: str | None
    refused: str | None = None
    completed: str | None = None
    writes_with_tensorflow: bool = True
    writing_memory: float = 0.0
    runs_with_tensorflow: bool = True
    imported_once: bool = False
    runs_eagerly: bool = False
    extra: str | None = None
    packages: tuple[str, ...] = ()
    running_packages: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    runtime: tuple[tuple[str, str], ...] = _TENSORFLOW
    shares_between_tasks: bool = False
    trains_in_double: bool = False
    labels_file: str | None = None
    folds_batch_norms: bool = False
    kaggle_framework: str | None = None

    @property
    def is_trained(self) -> bool:
        """Whether its artifacts can be trained; those of others may."""
        return not self.versions or any(row.momentum is not None for row in self.versions)

    def runtime_text(self, version_of: Callable[[str], str]) -> str:
        """What runs an artifact, with versions: "timm 1.0.31, PyTorch 2.13.0".

        Args:
            version_of: gives the version of a package by its name.
        """
        return ", ".join(f"{title} {version_of(package)}" for title, package in self.runtime)

    @property
    def runs_on_original(self) -> bool:
        """Whether TensorFlow's own operations compute an artifact, as they did the original network.

        The rounding of another library differs from it by more than `exporter.verification.results.TOLERANCE` in the
        last cells of the large networks.
        """
        return self.runtime == _TENSORFLOW

    @property
    def numbered(self) -> bool:
        """Whether its artifacts have version numbers."""
        return self.default_version is not None

    def version(self, version: Version) -> VersionSpec:
        """What a version has; one before the first has what the first has."""
        if isinstance(version, str):
            return self.versions[0]
        return next((row for row in reversed(self.versions) if row.number <= version), self.versions[0])


_HUB_MODULE = "`hub.Module`: TensorFlow 1, or a TF1 graph in TensorFlow 2 up to 2.15, with tensorflow-hub up to 0.15"
_REUSABLE = "TensorFlow 2 (or 1.15) with tensorflow-hub 0.5.0 or newer"

HUB = FormatSpec(
    name="hub",
    title="TF1 Hub module",
    framework="TensorFlow 1",
    library="tensorflow",
    versions=(
        VersionSpec(
            1,
            momentum_settable=False,
            momentum=TRAINING_DECAY,
            serving=False,
            readers=_HUB_MODULE,
            changes=("The first release, as a TF1 Hub module.",),
        ),
        VersionSpec(
            2,
            momentum_settable=False,
            momentum=TRAINING_DECAY,
            serving=False,
            readers=_HUB_MODULE,
            changes=("Fine-tuning: `UPDATE_OPS` really run, so that batch norm's averages move.",),
        ),
        VersionSpec(
            3,
            momentum_settable=True,
            momentum=DEFAULT_MOMENTUM,
            serving=False,
            readers=_HUB_MODULE.replace("up to 0.15", "0.2.0 to 0.15"),
            changes=(
                "Fine-tuning: the momentum of batch norm can be set, and is 0.99 where it is not.",
                "Needs tensorflow-hub 0.2.0 or newer.",
            ),
        ),
    ),
    default_version=3,
    files=(_SAVED_MODEL_FILE, HUB_MODULE_FILE),
    more_files=(),
    folders=("variables", "assets"),
    writes=(_SAVED_MODEL_FILE, HUB_MODULE_FILE, *_VALUES),
    has_objects=None,
    inspect="exporter.artifact.saved_model_inspection:describe",
    stored="exporter.artifact.saved_model_variables:SavedModelVariables",
    writer="exporter.artifact.hub_module:Writer",
    probe="exporter.probe.hub_module:probe",
    compare="exporter.verification.hub_module:compare",
    guess_version="exporter.verification.hub_module:guess_version",
    load="exporter.evaluation.hub_module:load",
    page="model_hub.md",
    example="index_hub.html",
    refused="exporter.artifact.saved_model_trust:refused",
    shares_between_tasks=True,
    kaggle_framework="TensorFlow1",
)

SAVED_MODEL_2 = FormatSpec(
    name="saved_model_2",
    title="TF2 SavedModel",
    framework="TensorFlow 2",
    library="tensorflow",
    versions=(
        VersionSpec(
            4,
            momentum_settable=True,
            momentum=DEFAULT_MOMENTUM,
            serving=False,
            readers=_REUSABLE,
            changes=("A SavedModel of TensorFlow 2. From here on, `hub.Module` does not take the model.",),
        ),
        VersionSpec(
            5,
            momentum_settable=True,
            momentum=DEFAULT_MOMENTUM,
            serving=True,
            readers=_REUSABLE,
            changes=(
                "Has a `serving_default` signature, which servers and Keras 3 ask for.",
                "Works with `tf.GradientTape(persistent=True)`.",
            ),
        ),
    ),
    default_version=4,
    files=(_SAVED_MODEL_FILE,),
    more_files=("fingerprint.pb", "keras_metadata.pb"),
    folders=("variables", "assets"),
    writes=(_SAVED_MODEL_FILE, *_VALUES),
    has_objects=True,
    inspect="exporter.artifact.saved_model_inspection:describe",
    stored="exporter.artifact.saved_model_variables:SavedModelVariables",
    writer="exporter.artifact.saved_model:Writer",
    probe="exporter.probe.saved_model:probe",
    compare="exporter.verification.saved_model:compare",
    guess_version="exporter.verification.saved_model:guess_version",
    load="exporter.evaluation.saved_model:load",
    page="model_saved_model_2.md",
    example="index_saved_model_2.html",
    refused="exporter.artifact.saved_model_trust:refused",
    kaggle_framework="TensorFlow2",
)

#: What others wrote: it can be described and makes predictions; a verification says that no model has this format.
SAVED_MODEL_1 = dataclasses.replace(
    SAVED_MODEL_2,
    name="saved_model_1",
    title="TF1 SavedModel",
    versions=(),
    default_version=None,
    writes=(),
    has_objects=False,
    writer=None,
    page=None,
    example=None,
    kaggle_framework=None,
)

ONNX = FormatSpec(
    name="onnx",
    title="ONNX model",
    framework="ONNX Runtime",
    library="onnx",
    versions=(
        VersionSpec(
            0,
            momentum_settable=False,
            momentum=None,
            serving=False,
            readers="ONNX Runtime 1.14 or newer, or another runtime that knows opset 17",
            changes=("The network in inference, for runtimes of ONNX: opset 17, batch norms kept.",),
        ),
    ),
    default_version=None,
    files=(ONNX_FILE,),
    more_files=(),
    folders=(),
    writes=(ONNX_FILE,),
    has_objects=None,
    inspect="exporter.artifact.onnx_file:describe",
    stored="exporter.artifact.onnx_file:StoredVariables",
    writer="exporter.artifact.onnx:Writer",
    probe="exporter.probe.onnx:probe",
    compare="exporter.verification.onnx:compare",
    guess_version="exporter.verification.onnx:guess_version",
    load="exporter.evaluation.onnx:load",
    page="model_onnx.md",
    example="index_onnx.html",
    writes_with_tensorflow=False,
    runs_with_tensorflow=False,
    extra="onnx",
    packages=("onnx", "onnxruntime"),
    choices=("end_points",),
    runtime=(("ONNX Runtime", "onnxruntime"),),
)

KERAS = FormatSpec(
    name="keras",
    title="Keras network",
    framework="Keras 3",
    library="keras",
    versions=(
        VersionSpec(
            0,
            momentum_settable=True,
            momentum=DEFAULT_MOMENTUM,
            serving=False,
            readers="Keras 3.6 or newer, on TensorFlow, JAX or PyTorch",
            changes=("A functional network of Keras 3, of stock layers alone.",),
        ),
    ),
    default_version=None,
    files=(KERAS_FILE,),
    more_files=(),
    folders=(),
    writes=(KERAS_FILE,),
    has_objects=None,
    inspect="exporter.artifact.keras_inspection:describe",
    stored="exporter.artifact.keras_weights:StoredVariables",
    writer="exporter.artifact.keras:Writer",
    probe="exporter.probe.keras:probe",
    compare="exporter.verification.keras:compare",
    guess_version="exporter.verification.keras:guess_version",
    load="exporter.evaluation.keras:load",
    page="model_keras.md",
    example="index_keras.html",
    refused="exporter.artifact.keras_trust:refused",
    writes_with_tensorflow=False,
    runs_eagerly=True,
    trains_in_double=True,
    packages=("h5py",),
    running_packages=("keras",),
    runtime=(("Keras", "keras"), ("TensorFlow", "tensorflow")),
)

TIMM = FormatSpec(
    name="timm",
    title="weights for timm",
    framework="timm",
    library="timm",
    versions=(
        VersionSpec(
            0,
            momentum_settable=False,
            momentum=None,
            serving=False,
            readers="timm 1.0 or newer, with PyTorch",
            changes=("The weights for the networks `nasnetalarge` and `pnasnet5large` of timm.",),
        ),
    ),
    default_version=None,
    files=TIMM_FILES,
    more_files=(),
    folders=(),
    writes=TIMM_FILES,
    has_objects=None,
    inspect="exporter.artifact.timm_file:describe",
    stored="exporter.artifact.timm_file:StoredVariables",
    writer="exporter.artifact.timm:Writer",
    probe="exporter.probe.timm:probe",
    compare="exporter.verification.timm:compare",
    guess_version="exporter.verification.timm:guess_version",
    load="exporter.evaluation.timm:load",
    completed="exporter.artifact.timm_file:complete",
    page="model_timm.md",
    example="index_timm.html",
    writes_with_tensorflow=False,
    runs_with_tensorflow=False,
    imported_once=True,
    extra="timm",
    packages=("safetensors",),
    running_packages=("torch", "timm"),
    runtime=(("timm", "timm"), ("PyTorch", "torch")),
)

LITERT = FormatSpec(
    name="litert",
    title="LiteRT model",
    framework="LiteRT",
    library="litert",
    versions=(
        VersionSpec(
            0,
            momentum_settable=False,
            momentum=None,
            serving=True,
            readers="LiteRT (TensorFlow Lite), with its built-in operations alone",
            changes=("The network in inference, for phones and other small machines; batch norms are folded.",),
        ),
    ),
    default_version=None,
    files=(LITERT_FILE,),
    more_files=LITERT_MORE_FILES,
    folders=(),
    writes=(LITERT_FILE, *LITERT_MORE_FILES),
    has_objects=None,
    inspect="exporter.artifact.litert_file:describe",
    stored="exporter.artifact.litert_file:StoredVariables",
    writer="exporter.artifact.litert:Writer",
    probe="exporter.probe.litert:probe",
    compare="exporter.verification.litert:compare",
    guess_version="exporter.verification.litert:guess_version",
    load="exporter.evaluation.litert:load",
    page="model_litert.md",
    example="index_litert.html",
    # Measured with TensorFlow 2.21, of its own and beside all other formats: 4.9 GB for nasnet_large.
    writing_memory=13.5,
    runs_with_tensorflow=False,
    extra="litert",
    packages=("ai-edge-litert",),
    runtime=(("LiteRT", "ai-edge-litert"),),
    choices=("precision",),
    labels_file=LITERT_MORE_FILES[1],
    folds_batch_norms=True,
)

PYTORCH = FormatSpec(
    name="pytorch",
    title="PyTorch program",
    framework="PyTorch",
    library="pytorch",
    versions=(
        VersionSpec(
            0,
            momentum_settable=False,
            momentum=None,
            serving=False,
            readers="PyTorch 2.13 or newer: `torch.export.load`",
            changes=("The network in inference, as a program of `torch.export`; batch norms are kept.",),
        ),
    ),
    default_version=None,
    files=(PYTORCH_FILE,),
    more_files=(),
    folders=(),
    writes=(PYTORCH_FILE,),
    has_objects=None,
    inspect="exporter.artifact.pytorch_file:describe",
    stored="exporter.artifact.pytorch_file:StoredVariables",
    writer="exporter.artifact.pytorch:Writer",
    probe="exporter.probe.pytorch:probe",
    compare="exporter.verification.pytorch:compare",
    guess_version="exporter.verification.pytorch:guess_version",
    load="exporter.evaluation.pytorch:load",
    page="model_pytorch.md",
    example="index_pytorch.html",
    refused="exporter.artifact.pytorch_file:refused",
    writes_with_tensorflow=False,
    runs_with_tensorflow=False,
    imported_once=True,
    extra="pytorch",
    packages=("torch",),
    runtime=(("PyTorch", "torch"),),
)

#: All formats by name. One whose files are those of another and more comes before that.
FORMATS: dict[Format, FormatSpec] = {
    spec.name: spec for spec in (HUB, SAVED_MODEL_2, SAVED_MODEL_1, ONNX, KERAS, TIMM, LITERT, PYTORCH)
}

#: The format that is meant where nothing says which.
DEFAULT_FORMAT: Format = SAVED_MODEL_2.name


def version_text(version: Version) -> str:
    """A version in a sentence: "version 4", "onnx"."""
    return version if isinstance(version, str) else f"version {version}"


def in_order(versions: Iterable[Version]) -> list[Version]:
    """Versions by number, then those that are names, in the order of `FORMATS`."""
    return sorted(versions, key=lambda v: (1, list(FORMATS).index(v)) if isinstance(v, str) else (0, v))


def written() -> tuple[Format, ...]:
    """The names of the formats that can be written."""
    return tuple(name for name, spec in FORMATS.items() if spec.writer)


def model_files() -> str:
    """The names of the files that hold the models themselves, for a message: ``saved_model.pb``."""
    return " or ".join(dict.fromkeys(spec.files[0] for spec in FORMATS.values()))


def of_one_file() -> tuple[FormatSpec, ...]:
    """The formats of which the file of the model is enough."""
    return tuple(spec for spec in FORMATS.values() if spec.completed or (len(spec.files) == 1 and not spec.folders))


def file_names() -> frozenset[str]:
    """The names of all files that artifacts have at their root, ``nasexport.json`` aside."""
    return frozenset(name for spec in FORMATS.values() for name in (*spec.files, *spec.more_files))


def folder_names() -> frozenset[str]:
    """The names of all folders that artifacts have."""
    return frozenset(name for spec in FORMATS.values() for name in spec.folders)


def require_extra(spec: FormatSpec, running: bool = False) -> None:
    """Refuses a format whose packages are not installed, before any work is done for it.

    Args:
        running: whether an artifact is to be run, to verify it or to predict with it.

    Raises:
        MachineError: one is missing; the message has what to type.
    """
    for package in (*spec.packages, *(spec.running_packages if running else ())):
        if importlib.util.find_spec(package.replace("-", "_")) is None:
            raise MachineError(f"the format {spec.name} needs {package}: pip install 'nasexport[{spec.extra}]'")


def preload(part: Literal["writer", "probe"]) -> None:
    """Imports what formats have for a job, so that processes that are forked from this one have it already."""
    for spec in FORMATS.values():
        wanted = spec.writes_with_tensorflow if part == "writer" else spec.runs_with_tensorflow
        reference = getattr(spec, part)
        if wanted and reference:
            pkgutil.resolve_name(reference)
