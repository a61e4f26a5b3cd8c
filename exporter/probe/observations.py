"""Types for the results of a probe that are more than an array or a list of names. Does not import TensorFlow."""

from dataclasses import dataclass
from typing import Literal, get_args

from exporter.files.arrays import ArrayGroup

#: When moving statistics are looked at: before training; after one step with `TRAINING_MOMENTUM`, or with the module's
#: own momentum where none can be set; after one more step with the default momentum.
Moment = Literal["before", "after_set_momentum", "after_default_momentum"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)


@dataclass(frozen=True)
class Variables:
    """Variables in the artifact's order, with the sha256 of their values before and after something ran."""

    names: list[str]
    digests: list[str]
    digests_after: list[str]

    @property
    def by_name(self) -> dict[str, str]:
        """The digest of each before."""
        return dict(zip(self.names, self.digests, strict=True))

    @property
    def after_by_name(self) -> dict[str, str]:
        """The digest of each after."""
        return dict(zip(self.names, self.digests_after, strict=True))

    @property
    def changed(self) -> list[str]:
        """The names of those whose values changed."""
        rows = zip(self.names, self.digests, self.digests_after, strict=True)
        return [name for name, before, after in rows if before != after]


@dataclass(frozen=True)
class MovingStatistics:
    """The values of the moving statistics by variable, at each `Moment`."""

    before: ArrayGroup
    after_set_momentum: ArrayGroup
    after_default_momentum: ArrayGroup


@dataclass(frozen=True)
class Gradients:
    """The variables that the gradient of a loss of the main output reaches, and those whose gradient is not finite."""

    reached: list[str]
    not_finite: list[str]


@dataclass(frozen=True)
class RandomDecision:
    """Something that drop path or dropout decides in training.

    ``name`` is its branch (``cell_3/comb_iter_0/left``) or "dropout", ``shape`` how many numbers it draws, as far as
    the graph tells. Of many draws it kept ``share_kept``; ``repeats`` is whether it drew numbers that it, or a decision
    before it, had drawn already.
    """

    name: str
    shape: str
    share_kept: float
    repeats: bool


@dataclass(frozen=True)
class ProbedFile:
    """What a probe returns besides what it stores: ``problems`` are what keeps old readers from reading the file.

    ``network`` is equal for artifacts that may have something in common, so that a probe of one can take it from a
    probe of the other; None where there is none.
    """

    problems: tuple[str, ...]
    network: str | None
