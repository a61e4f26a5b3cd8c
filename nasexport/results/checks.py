"""What a verification found."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nasexport import _html


@dataclass(frozen=True)
class Check:
    """One comparison of a verification. ``figure`` is what was measured, and passes where it is at most ``tolerance``.

    ``detail`` says where the largest difference is, or what was counted.
    """

    name: str
    figure: float
    tolerance: float
    passed: bool
    detail: str = ""


def text(checks: Sequence[Check]) -> str:
    """How many passed, or failed."""
    failed = sum(not check.passed for check in checks)
    return f"{failed} of {len(checks)} checks FAILED" if failed else f"{len(checks)} checks passed"


def table(title: str, checks: Sequence[Check]) -> str:
    """The checks for a notebook, those that failed first."""
    rows = [
        ("ok" if check.passed else "FAIL", check.name, f"{check.figure:.3g}", f"{check.tolerance:.3g}", check.detail)
        for check in sorted(checks, key=lambda check: check.passed)
    ]
    return _html.table(title, ("", "check", "measured", "at most", ""), rows)


@dataclass(frozen=True, repr=False)
class Verification:
    """What `nasexport.verify` found; it is true if all checks passed.

    ``notes`` are facts worth knowing that decide nothing.
    """

    path: Path
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether there are checks, and all of them passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        failed = "".join(f", {check.name}" for check in self.failed[:5])
        return f"<Verification of {str(self.path)!r}: {text(self.checks)}{failed}>"

    def _repr_html_(self) -> str:
        return table(f"{self.path}: {text(self.checks)}", self.checks)
