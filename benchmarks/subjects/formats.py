"""What formats for other runtimes cost to write, and how fast their runtimes are, beside TensorFlow."""

from collections.abc import Iterable, Mapping

from benchmarks.measuring import Contestant, megabytes, seconds
from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, MODELS, PYTHON, Workspace, nasexport, peer
from exporter.models.config import ModelConfig
from exporter.models.formats import Format

ONNX, SAVED_MODEL = "nasexport onnx", "nasexport version 4"
KERAS, APPLICATIONS = "nasexport keras", "Keras Applications, built and saved"
TF2ONNX = "tf2onnx, from version 5"
TENSORFLOW, ONNX_RUNTIME, LITERT = "TensorFlow, version 5", "ONNX Runtime", "LiteRT"
PYTORCH, OPENVINO = "PyTorch", "OpenVINO"
BATCHES, THREADS = (1, 8), (1, 2)
#: Seconds for which each batch size is run at least, after warming up.
_SECONDS = 3
#: By runtime, model and batch, how many times the images of TensorFlow it shall do in the processor time of one thread.
_GOALS: Mapping[tuple[str, str, int], float] = {
    (ONNX_RUNTIME, "nasnet_mobile", 1): 1.3,
    (ONNX_RUNTIME, "nasnet_mobile", 8): 1.0,
    (LITERT, "nasnet_mobile", 1): 1.1,
}


def measure(workspace: Workspace) -> list[Figure]:
    """Figures of each model that was chosen; writing starts from an unpacked checkpoint."""
    configs = workspace.chosen(MODELS)
    written = [figure for config in configs for figure in _written(workspace, config)]
    written += [figure for config in workspace.chosen(("nasnet_mobile",)) for figure in _converted(workspace, config)]
    written += [figure for config in configs if config.name in NAMES for figure in _saved(workspace, config)]
    return written + [figure for config in configs for figure in _run(workspace, config)]


def _written(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    formats: dict[str, Format] = {ONNX: "onnx", SAVED_MODEL: "saved_model_2"}
    contestants = []
    for name, format_ in formats.items():
        output = workspace.scratch(f"formats-{format_}")
        options = ("--format", format_, "--task", "classification", "--no-verify", "--output", output)
        command = nasexport("build", config.name, *options, "--checkpoint", workspace.checkpoint(config))
        contestants.append(Contestant(name, command, HERE, workspace.fresh(output)))
    runs = workspace.take_turns("formats", contestants)
    key, title = f"formats/{config.name}/onnx", f"write {config.name} as ONNX"
    goal = Goal("ratio", 0.25) if config.name == "nasnet_large" else None
    yield Figure(f"{key}/time", title, "s", seconds(runs), ONNX, SAVED_MODEL, goal)
    yield Figure(f"{key}/memory", f"{title}, memory of all processes", "MB", megabytes(runs), ONNX, SAVED_MODEL)


def _converted(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    """An ONNX model, beside a converter that makes it of a SavedModel."""
    output, file = workspace.scratch("formats-onnx"), workspace.scratch("tf2onnx.onnx")
    options = ("--format", "onnx", "--task", "classification", "--no-verify", "--output", output)
    ours = nasexport("build", config.name, *options, "--checkpoint", workspace.checkpoint(config))
    source = workspace.artifact(config, "classification", 5)
    theirs = [PYTHON, "-m", "tf2onnx.convert", "--saved-model", source, "--opset", 17, "--output", file]
    contestants = [
        Contestant(ONNX, ours, HERE, workspace.fresh(output)),
        Contestant(TF2ONNX, theirs, workspace.with_tf2onnx()),
    ]
    runs = workspace.take_turns("formats", contestants)
    title = f"write {config.name} as ONNX, beside a converter"
    yield Figure(f"formats/{config.name}/tf2onnx", title, "s", seconds(runs), ONNX, TF2ONNX, Goal("ratio", 0.05))


def _saved(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    """A file of Keras, beside what Keras Applications takes to build its network and to save it."""
    output, folder = workspace.scratch("formats-keras"), workspace.scratch("formats-applications")
    options = ("--format", "keras", "--task", "classification", "--no-verify", "--output", output)
    ours = nasexport("build", config.name, *options, "--checkpoint", workspace.checkpoint(config))
    theirs = peer("keras_save", workspace.network(config), folder)
    contestants = [
        Contestant(KERAS, ours, HERE, workspace.fresh(output)),
        Contestant(APPLICATIONS, theirs, HERE, workspace.fresh(folder)),
    ]
    runs = workspace.take_turns("formats", contestants)
    key, title = f"formats/{config.name}/keras", f"write {config.name} for Keras"
    goal = Goal("ratio", 0.5) if config.name == "nasnet_large" else None
    yield Figure(f"{key}/time", title, "s", seconds(runs), KERAS, APPLICATIONS, goal)
    yield Figure(f"{key}/memory", f"{title}, memory of all processes", "MB", megabytes(runs), KERAS, APPLICATIONS)


def _run(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    """Images per second of all runtimes; ONNX Runtime is held against TensorFlow, and LiteRT where it has a goal."""
    model = workspace.artifact(config, "classification", "onnx") / "model.onnx"
    own, torch, openvino = PYTHON, workspace.python("torch", PYTORCH), workspace.python("openvino", OPENVINO)
    runtimes = {
        TENSORFLOW: (own, "tensorflow", workspace.artifact(config, "classification", 5)),
        ONNX_RUNTIME: (own, "onnx", model),
        LITERT: (own, "litert", workspace.artifact(config, "classification", "litert") / "model.tflite"),
        PYTORCH: (torch, "pytorch", workspace.artifact(config, "classification", "pytorch") / "model.pt2"),
        OPENVINO: (openvino, "openvino", model),
    }
    batches = ",".join(map(str, BATCHES))
    for threads in THREADS:
        contestants = [
            Contestant(name, [python, *peer("runtimes", kind, what, batches, _SECONDS, threads)[1:]], HERE)
            for name, (python, kind, what) in runtimes.items()
        ]
        # The large ones take minutes, and have no goals.
        has_goals = any(model == config.name for _, model, _ in _GOALS)
        found = workspace.take_turns("formats", contestants, None if has_goals else 1)
        for batch in BATCHES:
            # On one thread, what others do on the machine enters least in processor time; on more, waiting counts.
            clock = "processor" if threads == 1 else "wall"
            rates = {
                name: [float(run.facts["images_per_second"][str(batch)][clock]) for run in runs]
                for name, runs in found.items()
            }
            time = "processor time" if threads == 1 else "by the clock"
            on = f"batch {batch}, {threads} thread{'s' * (threads > 1)}, {time}"
            for ours in (ONNX_RUNTIME, LITERT):
                least = _GOALS.get((ours, config.name, batch)) if threads == 1 else None
                if ours == LITERT and not least:
                    continue
                yield Figure(
                    f"formats/{config.name}/{batch}/{threads}" + ("" if ours == ONNX_RUNTIME else f"/{ours}"),
                    f"inference, {config.name}, {on}" + ("" if ours == ONNX_RUNTIME else f", {ours}"),
                    "images/s",
                    rates if ours == ONNX_RUNTIME else {name: rates[name] for name in (ours, TENSORFLOW)},
                    ours,
                    TENSORFLOW,
                    Goal("ratio", least, most=False) if least else None,
                )
