"""Build time against the number of cells and against the number of filters, of small networks of the same family."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.measuring import Contestant
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, Workspace, nasexport, peer
from exporter.models.config import ModelConfig, models
from exporter.models.variables import parameters

ARTIFACT, KERAS = "nasexport", "Keras Applications, export"
CELLS = (6, 12, 18, 36)
FILTERS = (44, 88, 132, 176)
#: Few filters when the number of cells varies, so that the time is that of the graph, not of its weights.
_FILTERS_OF_CELLS, _CELLS_OF_FILTERS = 8, 12
_IMAGE_SIZE = 64
#: Largest deviation of a median from the straight line through all of them, in per cent of the median.
#: R-squared alone would not do: for a time that does not grow at all, it may have any value.
_MAX_DEVIATION = 10.0


def measure(workspace: Workspace) -> list[Figure]:
    """How well straight lines fit the build times, and the times of the largest networks beside Keras's."""
    by_cells = {cells: _config(cells, _FILTERS_OF_CELLS) for cells in CELLS}
    by_filters = {filters: _config(_CELLS_OF_FILTERS, filters) for filters in FILTERS}
    return [
        *_figures(workspace, "cells", "number of cells", by_cells),
        *_figures(workspace, "filters", "number of filters", by_filters),
    ]


def _config(cells: int, filters: int) -> ModelConfig:
    """A NASNet that Keras can build, too: three blocks of equal length."""
    fields = models()["nasnet_mobile"].to_dict()
    fields.update(
        name=f"grown_{cells}_{filters}",
        title=f"NASNet-A ({cells} cells, {filters} filters)",
        published=False,
        checkpoint=None,
        accuracy=None,
        image_size=_IMAGE_SIZE,
        num_cells=cells,
        num_conv_filters=filters,
        reductions=[cells // 3, 2 * cells // 3],
    )
    return ModelConfig.from_dict(fields)


def _figures(workspace: Workspace, kind: str, axis: str, configs: dict[int, ModelConfig]) -> Iterable[Figure]:
    contestants = [contestant for config in configs.values() for contestant in _contestants(workspace, config)]
    found = workspace.take_turns(f"growth-{kind}", contestants)
    seconds = {
        name: {at: [run.seconds for run in found[f"{name}, {config.name}"]] for at, config in configs.items()}
        for name in (ARTIFACT, KERAS)
    }
    medians = {name: [statistics.median(runs) for runs in each.values()] for name, each in seconds.items()}
    lines = {name: line(list(configs), values) for name, values in medians.items()}
    sizes = [parameters(config, "classification") for config in configs.values()]
    extra = {
        "axis": axis,
        "at": list(configs),
        "parameters": sizes,
        "seconds": {name: list(each.values()) for name, each in seconds.items()},
        "median_seconds": medians,
        "line": lines,
        "line_over_parameters": {name: line(sizes, values) for name, values in medians.items()},
        "last_slope_over_first": {name: slope_ratio(list(configs), values) for name, values in medians.items()},
    }
    title = f"build time over {axis} ({', '.join(map(str, configs))})"
    deviations = {name: [100 * deviation(list(configs), values)] for name, values in medians.items()}
    goal = Goal("value", _MAX_DEVIATION)
    yield Figure(f"growth/{kind}/line", f"{title}, distance from a line", "%", deviations, ARTIFACT, None, goal, extra)
    squared = {name: [each["r_squared"]] for name, each in lines.items()}
    yield Figure(f"growth/{kind}/r-squared", f"{title}, R² of a line", "", squared, ARTIFACT)
    largest = max(configs)
    title = f"build with {largest} {kind}"
    runs = {name: each[largest] for name, each in seconds.items()}
    yield Figure(f"growth/{kind}/largest", title, "s", runs, ARTIFACT, KERAS)


def _contestants(workspace: Workspace, config: ModelConfig) -> Iterable[Contestant]:
    path = workspace.yaml(config.to_dict())
    output = workspace.scratch("grown")
    options = ("--task", "classification", "--no-verify", "--output", output)
    command = nasexport("build", path, *options, "--checkpoint", workspace.checkpoint(config, path))
    yield Contestant(f"{ARTIFACT}, {config.name}", command, HERE, workspace.fresh(output))
    folder = workspace.scratch("grown-keras")
    command = peer("keras_export", workspace.network(config), folder)
    yield Contestant(f"{KERAS}, {config.name}", command, HERE, workspace.fresh(folder))


def line(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """The least-squares line, and the share of the variance that it explains."""
    slope, intercept = statistics.linear_regression(x, y)
    return {"slope": slope, "intercept": intercept, "r_squared": statistics.correlation(x, y) ** 2}


def deviation(x: Sequence[float], y: Sequence[float]) -> float:
    """The largest deviation of a value from the straight line, relative to that value."""
    fit = line(x, y)
    return max(abs(fit["intercept"] + fit["slope"] * at - value) / value for at, value in zip(x, y, strict=True))


def slope_ratio(x: Sequence[float], y: Sequence[float]) -> Any:
    """The slope between the last two points divided by that between the first two: 1 for a line."""
    first, last = (y[1] - y[0]) / (x[1] - x[0]), (y[-1] - y[-2]) / (x[-1] - x[-2])
    return last / first if first > 0 else None
