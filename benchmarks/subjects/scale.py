"""Images per second of whole runs of `evaluate` and `embed`, beside a `tf.data` loop; workers beside one process."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measuring import Contestant, Run
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, Workspace, nasexport, peer
from exporter.models.config import ModelConfig

MODELS = ("nasnet_mobile",)
IMAGES, FEW, BATCH, WORKERS = 1500, 96, 32, 2
LOOP = "tf.data loop"
EVALUATE, EMBED = "nasexport evaluate", "nasexport embed"
LOCAL = f"nasexport embed --workers {WORKERS}"
START, START_LOCAL = (f"{name}, {FEW} images" for name in (EMBED, LOCAL))
ONNX, SAVED_MODEL = "nasexport predict, ONNX", "nasexport predict, SavedModel"


def measure(workspace: Workspace) -> list[Figure]:
    """All contestants read the same made-up pictures, of 200 to 520 pixels a side, from start to end of a process."""
    folder, few = _pictures(workspace, IMAGES), _pictures(workspace, FEW)
    figures = []
    for config in workspace.chosen(MODELS):
        classifier = workspace.artifact(config, "classification", 4)
        extractor = workspace.artifact(config, "feature_vector", 4)
        state, parts = workspace.scratch("state.json"), workspace.scratch("parts")
        batches = ("--batch-size", BATCH)
        options = ("--images", folder, *batches)

        def without_state(state: Path = state) -> None:
            state.unlink(missing_ok=True)

        embed = nasexport("embed", extractor, *options, "--output", parts)
        start = nasexport("embed", extractor, "--images", few, *batches, "--output", parts)
        loop = peer("tf_data", classifier, folder, config.image_size, BATCH)
        contestants = [
            Contestant(EVALUATE, nasexport("evaluate", classifier, *options, "--state", state), HERE, without_state),
            Contestant(LOOP, loop, HERE),
            Contestant(EMBED, embed, HERE, workspace.fresh(parts)),
            Contestant(LOCAL, [*embed, "--workers", WORKERS], HERE, workspace.fresh(parts)),
            Contestant(START, start, HERE, workspace.fresh(parts)),
            Contestant(START_LOCAL, [*start, "--workers", WORKERS], HERE, workspace.fresh(parts)),
        ]
        found = workspace.take_turns("scale", contestants)
        rates = {name: [IMAGES / run.seconds for run in runs] for name, runs in found.items()}
        for key, ours, rival, least in (
            ("evaluate", EVALUATE, LOOP, 0.95),
            ("embed", EMBED, LOOP, 0.95),
            # Whole runs; what workers are to do after their start, which is the figure below, has the goal.
            ("workers", LOCAL, EMBED, None),
        ):
            figures.append(
                Figure(
                    f"scale/{config.name}/{key}",
                    f"{config.name}, {IMAGES:,} images, {key}",
                    "images/s",
                    {name: rates[name] for name in (ours, rival)},
                    ours,
                    rival,
                    Goal("ratio", least, most=False) if least else None,
                )
            )
        figures += _workers(config, found)
        picture = next(folder.rglob("*.jpg"))
        single = [
            Contestant(ONNX, nasexport("predict", workspace.artifact(config, "classification", "onnx"), picture), HERE),
            Contestant(SAVED_MODEL, nasexport("predict", classifier, picture), HERE),
        ]
        seconds = {name: [run.seconds for run in runs] for name, runs in workspace.take_turns("scale", single).items()}
        title = f"{config.name}, one picture, whole process"
        figures.append(Figure(f"scale/{config.name}/one", title, "s", seconds, ONNX, SAVED_MODEL, Goal("value", 1.0)))
    return figures


def _workers(config: ModelConfig, found: Mapping[str, Sequence[Run]]) -> Iterable[Figure]:
    """What a cluster of processes costs once, and what it does then."""
    starts = [ours.seconds - one.seconds for ours, one in zip(found[START_LOCAL], found[START], strict=True)]
    rates = {}
    for name, start in ((LOCAL, START_LOCAL), (EMBED, START)):
        pairs = zip(found[name], found[start], strict=True)
        rates[name] = [(IMAGES - FEW) / (whole.seconds - few.seconds) for whole, few in pairs]
    key, title = f"scale/{config.name}/workers", f"{config.name}, workers"
    yield Figure(
        f"{key}-start",
        f"{title}, {FEW} images, more than in one process",
        "s",
        {LOCAL: starts},
        LOCAL,
        goal=Goal("value", 3.0),
    )
    yield Figure(
        f"{key}-later",
        f"{title}, {IMAGES - FEW:,} images more",
        "images/s",
        rates,
        LOCAL,
        EMBED,
        Goal("ratio", 1.0, most=False),
    )


def _pictures(workspace: Workspace, count: int) -> Path:
    """A folder of so many JPEGs in folders of two classes; made once."""
    from PIL import Image

    folder = workspace.folder / f"pictures-{count}"
    if not (folder / "done").exists():
        generator = np.random.default_rng(0)
        for place in range(count):
            patches = Image.fromarray(generator.integers(0, 256, (6, 8, 3)).astype(np.uint8))
            size = tuple(int(side) for side in generator.integers(200, 520, 2))
            path = folder / ("n01440764", "n01443537")[place % 2] / f"{place:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            patches.resize((size[0], size[1]), Image.Resampling.BICUBIC).save(path, quality=90)
        (folder / "done").touch()
    return folder
