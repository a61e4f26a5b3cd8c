"""Values as JSON has them."""

import math


def finite_or_none(value: float) -> float | None:
    """A number that JSON has, or None, which it writes as ``null``: it has no NaN and no infinity."""
    return value if math.isfinite(value) else None
