"""Times a step again and again in this process."""

import time
from collections.abc import Callable

_MIN_STEPS = 3


def durations(step: Callable[[], object], seconds: float, warm_up: int) -> list[float]:
    """Seconds of each call of ``step``, for ``seconds`` and three calls at least, after ``warm_up`` calls."""
    for _ in range(warm_up):
        step()
    measured: list[float] = []
    while len(measured) < _MIN_STEPS or sum(measured) < seconds:
        started = time.perf_counter()
        step()
        measured.append(time.perf_counter() - started)
    return measured
