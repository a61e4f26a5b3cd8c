"""Where each variable of a network is in a checkpoint, whatever training left in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.errors import CheckpointError
from exporter.models import config as configs
from exporter.models.config import ModelConfig
from exporter.models.variables import VariableSpec, all_variables

AVERAGE = "/ExponentialMovingAverage"

#: Optimizer slots and counters that a training run leaves; never exported, never worth a warning.
_SLOTS = ("/RMSProp", "/RMSProp_1", "/Momentum")

_COUNTERS = ("global_step",)


@dataclass(frozen=True)
class NameMapping:
    """Where each of a network's variables is in a checkpoint.

    ``names`` maps a variable's name to the name in the file. ``layout`` is "plain" (no averages), "averages" (averages
    and no plain name beside them) or "training" (both). ``averages`` counts the variables taken from an average, of
    which ``averaged_statistics`` are moving statistics; ``unaveraged`` trained variables have none although others do.
    ``left_out`` counts the training state, auxiliary head and plain values passed over; ``unexpected`` lists what
    nobody asked for.
    """

    names: dict[str, str]
    layout: str
    averages: int
    averaged_statistics: int
    unaveraged: int
    left_out: int
    unexpected: tuple[str, ...]


def map_names(config: ModelConfig, specs: list[VariableSpec], shapes: Mapping[str, tuple[int, ...]]) -> NameMapping:
    """Finds each variable under its average's name or its own; the average wins.

    Raises:
        CheckpointError: a variable is there under neither; the message says which model the file looks like.
    """
    names = {spec.name: spec.name + AVERAGE if spec.name + AVERAGE in shapes else spec.name for spec in specs}
    missing = [name for name, found in names.items() if found not in shapes]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"the checkpoint lacks {missing[0]}{more} of the {len(specs)} variables of {config.name}"
            f"{_looks_like(config, shapes)}"
        )
    averaged = [spec for spec in specs if names[spec.name] != spec.name]
    both = any(spec.name in shapes for spec in averaged)
    others = set(shapes) - set(names.values())
    known = {*_COUNTERS, *(spec.name for spec in all_variables(config))}
    left_out = {name for name in others if without_slot(name) in known}
    return NameMapping(
        names=names,
        layout="training" if both else "averages" if averaged else "plain",
        averages=len(averaged),
        averaged_statistics=sum(not spec.trainable for spec in averaged),
        unaveraged=sum(spec.trainable for spec in specs if names[spec.name] == spec.name) if averaged else 0,
        left_out=len(left_out),
        unexpected=tuple(sorted(others - left_out)),
    )


def without_slot(name: str) -> str:
    """The variable that an average or an optimizer's slot belongs to."""
    for suffix in (AVERAGE, *_SLOTS):
        name = name.removesuffix(suffix)
    return name


def _looks_like(config: ModelConfig, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Says which known model a checkpoint fits, where it is another than the one asked for."""

    def fit(candidate: ModelConfig) -> float:
        specs = [spec for spec in all_variables(candidate) if spec.role == "feature"]
        hits = sum(spec.shape in (shapes.get(spec.name), shapes.get(spec.name + AVERAGE)) for spec in specs)
        return hits / len(specs)

    fits = {candidate.name: fit(candidate) for candidate in configs.models().values()}
    best = max(fits, key=lambda name: fits[name])
    if best != config.name and fits[best] > 0.9:
        return f": it looks like {best}'s checkpoint"
    if max(fits[best], fit(config)) < 0.1:
        return ": it looks like no model that nasexport knows"
    return ""


#: A string variable of this name, holding a JSON object, marks every synthetic checkpoint.
MARKER = "nasexport/synthetic"
