"""Images per second of a loaded artifact, beside other implementations of the network and the machine's peak."""

from collections.abc import Iterable

from benchmarks import measuring
from benchmarks.measuring import Contestant
from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, MODELS, Workspace, peer
from exporter.models.config import ModelConfig

OBJECT, SERVING = "nasexport version 4, obj(images)", "nasexport version 5, serving_default"
KERAS, KERAS_SERVING = "Keras Applications, tf.function", "Keras export, serving_default"
SLIM = "TF-Slim graph, Session"
PEAK = "float32 matrix product"
BATCHES = (1, 8, 32)
#: Seconds for which each batch size is run at least, after warming up.
_SECONDS = 3


def measure(workspace: Workspace) -> list[Figure]:
    """Every contestant runs all batch sizes in one process; the machine's peak is measured in turns with them."""
    return [figure for config in workspace.chosen(MODELS) for figure in _figures(workspace, config)]


def _figures(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    artifact = workspace.artifact(config, "classification", 4)
    kinds = {OBJECT: ("object", artifact)}
    if config.name in NAMES:
        kinds[KERAS] = ("keras", workspace.network(config))
        kinds[KERAS_SERVING] = ("signature", workspace.keras_export(config))
    else:
        kinds[SLIM] = ("slim", workspace.network(config))
    kinds[SERVING] = ("signature", workspace.artifact(config, "classification", 5))
    batches = ",".join(map(str, BATCHES))
    contestants = [
        Contestant(name, peer("inference", kind, what, batches, _SECONDS), HERE) for name, (kind, what) in kinds.items()
    ]
    contestants.append(Contestant(PEAK, peer("limits", "peak", _SECONDS), HERE))
    found = workspace.take_turns("inference", contestants)
    counting = Contestant("count of operations", peer("limits", "count", artifact), HERE)
    counted = measuring.measure(counting, workspace.folder / "logs" / "inference").facts
    peaks = [float(run.facts["operations_per_second"]) / 1e9 for run in found[PEAK]]
    for batch in BATCHES:
        rates = {
            name: [float(run.facts["images_per_second"][str(batch)]) for run in runs]
            for name, runs in found.items()
            if name != PEAK
        }
        key, title = f"inference/{config.name}/{batch}", f"inference, {config.name}, batch {batch}"
        for ours, rival, least in ((OBJECT, KERAS, 1.0), (SERVING, KERAS_SERVING, 1.1)):
            rival = rival if rival in rates else SLIM
            what, label = ("object", "object") if ours == OBJECT else ("serving", "signature")
            runs = {name: rates[name] for name in (ours, rival)}
            goal = Goal("ratio", least, most=False)
            yield Figure(f"{key}/{what}", f"{title}, {label}", "images/s", runs, ours, rival, goal)
        billions = float(counted["operations"]) / 1e9
        reached = {OBJECT: [rate * billions for rate in rates[OBJECT]], PEAK: peaks}
        extra = {"operations_per_image": counted["operations"], "by_type": counted["by_type"]}
        title = f"part of the machine's peak, {config.name}, batch {batch}"
        yield Figure(f"limits/{config.name}/{batch}", title, "GFLOP/s", reached, OBJECT, PEAK, extra=extra)
