"""Where each variable of a network is in a checkpoint, and what else lies beside them, whatever training left there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from exporter.checkpoint.jobs import LeftOut
from exporter.errors import CheckpointError
from exporter.models import config as configs
from exporter.models.config import ModelConfig
from exporter.models.variables import AUXILIARY_HEAD, VariableSpec, all_variables, part

AVERAGE = "/ExponentialMovingAverage"

#: A string variable of this name, holding a JSON object, marks every synthetic checkpoint.
MARKER = "nasexport/synthetic"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class NameMapping:
    """Where each of a network's variables is in a checkpoint.

    ``names`` maps a variable's name to the one that it has in the checkpoint, below ``scope``, which is empty or ends
    with a slash. ``layout`` is "plain" (no averages), "averages" (averages and no plain name beside them) or "training"
    (both). ``averages`` counts the variables taken from an average, of which ``averaged_statistics`` are moving
    statistics; ``unaveraged`` trained variables have none although others do. ``left_out`` counts what is none of the
    network's; ``unexpected`` has the names of what is unknown of that.
    """

    names: dict[str, str]
    scope: str
    layout: str
    averages: int
    averaged_statistics: int
    unaveraged: int
    left_out: LeftOut
    unexpected: tuple[str, ...]


def map_names(config: ModelConfig, specs: Sequence[VariableSpec], shapes: Mapping[str, Shape]) -> NameMapping:
    """Finds each variable under its average's name or its own; the average wins.

    All names may lie below one scope, such as ``module/``.

    Args:
        specs: the variables that are wanted, of ``all_variables(config)``.
        shapes: of all that the checkpoint holds, by name.

    Raises:
        CheckpointError: a variable is there under neither name; then the message says which model the checkpoint looks
            like. Or a layer of ``specs`` has a variable there that it does not have in the network of ``config``: what
            was trained with it is another network. Or the network is there more than once.
    """
    scope = _scope(config, specs, shapes)
    held = {name.removeprefix(scope): shape for name, shape in shapes.items() if name.startswith(scope)}
    names = {spec.name: _found(spec.name, held) for spec in specs}
    missing = [name for name, found in names.items() if found not in held]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"the checkpoint lacks {scope}{missing[0]}{more} of the {len(specs)} variables of {config.name}"
            f"{looks_like(config, held)}"
        )
    left_out, unexpected = _rest(config, specs, scope, shapes)
    averaged = [spec for spec in specs if names[spec.name] != spec.name]
    both = any(spec.name in held for spec in averaged)
    return NameMapping(
        names={name: scope + found for name, found in names.items()},
        scope=scope,
        layout="training" if both else "averages" if averaged else "plain",
        averages=len(averaged),
        averaged_statistics=sum(not spec.trainable for spec in averaged),
        unaveraged=sum(spec.trainable for spec in specs if names[spec.name] == spec.name) if averaged else 0,
        left_out=left_out,
        unexpected=unexpected,
    )


def _found(name: str, held: Mapping[str, Shape]) -> str:
    return name + AVERAGE if name + AVERAGE in held else name


def _scope(config: ModelConfig, specs: Sequence[VariableSpec], shapes: Mapping[str, Shape]) -> str:
    """The scope that the network lies below: that of most of its names, the shortest of equals."""
    wanted = {spec.name for spec in specs}
    seen: set[tuple[str, str]] = set()
    for name in shapes:
        components = name.removesuffix(AVERAGE).split("/")
        for start in range(len(components)):
            below = "/".join(components[start:])
            if below in wanted:
                seen.add(("".join(f"{component}/" for component in components[:start]), below))
    counts = Counter(scope for scope, _ in seen)
    whole = sorted(scope for scope, count in counts.items() if count == len(wanted))
    if len(whole) > 1:
        places = " and ".join(f"below {scope!r}" if scope else "at its root" for scope in whole[:3])
        raise CheckpointError(
            f"the checkpoint holds all variables of {config.name} {len(whole)} times ({places}):\n"
            f"expected one network, as nothing tells which of them is meant"
        )
    return min(counts, key=lambda scope: (-counts[scope], len(scope)), default="")


def _rest(
    config: ModelConfig, specs: Sequence[VariableSpec], scope: str, shapes: Mapping[str, Shape]
) -> tuple[LeftOut, tuple[str, ...]]:
    """What a checkpoint holds besides the network: counted, and the names of what is unknown.

    What is counted does not depend on the task: a classifier that is not wanted counts as the network's.
    """
    trained = {spec.name: spec.shape for spec in all_variables(config)}
    network = {spec.name for spec in all_variables(config) if spec.role != "auxiliary_head"}
    parts, wanted_parts = {part(name) for name in trained}, {part(spec.name) for spec in specs}
    below = {name: name.removeprefix(scope) for name in shapes if name.startswith(scope)}
    held = {below_scope: shapes[name] for name, below_scope in below.items()}
    used = {scope + _found(name, held) for name in network}
    counts: Counter[str] = Counter()
    unexpected, foreign = [], []
    for name in sorted(set(shapes) - used):
        inside = below.get(name, "")
        kept_for = _owner(inside or name, trained, within=part(inside) not in parts)
        if part(inside) == AUXILIARY_HEAD:
            counts["auxiliary_head"] += 1
        elif inside in network:
            counts["last_values"] += 1
        elif kept_for and _fits_slot(shapes[name], held.get(_found(kept_for, held), trained[kept_for])):
            if name.endswith(AVERAGE) and not inside.startswith(f"{kept_for}/"):
                raise CheckpointError(
                    f"the checkpoint holds {name}, an average of {scope}{kept_for} below another scope:\n"
                    f"expected averages as {scope}{kept_for}{AVERAGE}, since they are what is exported where they exist"
                )
            counts["slots"] += 1
        elif part(inside) in wanted_parts:
            foreign.append(name)
        elif prod(shapes[name]) == 1:
            counts["counters"] += 1
        else:
            unexpected.append(name)
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise CheckpointError(
            f"the checkpoint holds {foreign[0]}{more} in the layers of {config.name}, which has no such variable:\n"
            f"it is of another network, and an artifact without it would compute something else"
        )
    return LeftOut(**counts, unknown=len(unexpected)), tuple(unexpected)


def _owner(name: str, trained: Mapping[str, Shape], within: bool) -> str:
    """The variable that a slot of this name would be kept for: the name is ``Momentum``, say, below the variable's.

    Args:
        within: whether all that may lie below another scope.

    Returns:
        The variable's name, empty where there is none.
    """
    components = name.split("/")
    for start in range(len(components) if within else 1):
        for end in range(len(components) - 1, start, -1):
            if (owner := "/".join(components[start:end])) in trained:
                return owner
    return ""


def _fits_slot(shape: Shape, owner: Shape) -> bool:
    """Whether an optimizer may keep something of this shape for a variable: its own, single numbers, sums over some of
    its dimensions (Adafactor), products of one with itself (Shampoo).
    """
    return set(shape) <= {1, *owner}


def looks_like(config: ModelConfig, shapes: Mapping[str, Shape]) -> str:
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
