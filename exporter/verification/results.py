"""What a check found, and the verdict on an artifact; without NumPy, as the command line imports it."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exporter.artifact.metadata import Verdict
from exporter.artifact.options import ArtifactOptions
from exporter.errors import VerificationError
from exporter.files.json_values import finite_or_none
from exporter.models.config import ModelConfig, Task
from exporter.models.formats import Version

#: Largest difference allowed, as a part of the largest magnitude in the reference. Graphs of the same weights differ
#: by up to 5e-5 of it between TensorFlow versions; a kernel that is 2 % off differs by far more.
TOLERANCE = 1e-4

#: The same for weights of 16 bits, between the artifact and the float32 graph of the same rounded weights: a product
#: that is rounded another way, because its last bit differs, moves an output by up to 1e-4.
HALF_TOLERANCE = 1e-3

#: Above it, not every float is told from the next whole number.
_MOST_WHOLE = 2**53


@dataclass(frozen=True)
class Check:
    """One comparison. ``figure`` is what was measured, and passes where it is at most ``tolerance``."""

    name: str
    figure: float
    tolerance: float
    detail: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.figure <= self.tolerance)  # a NaN is at most nothing

    def __str__(self) -> str:
        verdict = "ok  " if self.passed else "FAIL"
        measured = f"{number(self.figure)}, at most {number(self.tolerance)}"
        return f"{verdict} {self.name}: {measured}" + (f" ({self.detail})" if self.detail else "")

    @property
    def is_difference(self) -> bool:
        """Whether the figure is a difference of values, as a part of the largest of them; others count, mostly."""
        return self.name.endswith("relative difference")

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "figure": finite_or_none(self.figure), "passed": self.passed}


def number(value: float) -> str:
    """A figure or a tolerance for people: a whole number, as counts are, with all its digits, and others with three."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < _MOST_WHOLE else f"{value:.3g}"


@dataclass(frozen=True)
class Report:
    """All checks of one artifact. ``notes`` are facts worth knowing that do not decide. ``likely_cause`` is what most
    likely lies behind checks that failed, in a line; empty where nothing is more likely than the rest.

    ``measured`` is what pictures of the comparison are drawn from, None where the artifact did not run or nobody asked;
    see `exporter.verification.compare.measured`. It is too much for JSON.
    """

    path: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = field(default=())
    measured: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    likely_cause: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)

    def verdict(self) -> tuple[Verdict, ...]:
        """What goes into an artifact: the checks without what was measured."""
        return tuple(Verdict(check.name, check.tolerance, check.passed) for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        checks = [check.to_dict() for check in self.checks]
        cause = self.likely_cause or None
        return {
            "path": self.path,
            "passed": self.passed,
            "likely_cause": cause,
            "checks": checks,
            "notes": list(self.notes),
        }


class FailedChecksError(VerificationError):
    """An artifact whose checks failed; ``report`` has them."""

    def __init__(self, message: str, report: Report):
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Expected:
    """What is to be checked: a network, and the version and options of the artifact."""

    config: ModelConfig
    task: Task
    version: Version
    options: ArtifactOptions
    #: Whether the variables must come in the order of the checkpoint, as they do in what nasexport writes.
    ordered: bool = True

    @property
    def momentum(self) -> float:
        """The default decay of the moving averages of an artifact that can be trained."""
        momentum = self.options.batch_norm_momentum
        assert momentum is not None  # as its format's row says
        return float(momentum)


def count(name: str, wrong: int, detail: str) -> Check:
    """A check that passes when nothing is wrong."""
    return Check(name, wrong, 0, detail)


def require_passed(report: Report, target: Path | str) -> None:
    """Raises FailedChecksError with the checks that failed, if any did."""
    if not report.passed:
        failed = "\n".join(map(str, report.failed))
        raise FailedChecksError(f"{target} was not written: its verification failed\n{failed}", report)
