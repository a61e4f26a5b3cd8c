"""How fast a long run is, and how long it will go on."""

import time


class Pace:
    """Counts from when it is made; before a first part is done it knows nothing."""

    def __init__(self, total: int):
        self._total = total
        #: Loading takes a while, and so does the first part: what comes after it is what counts.
        self._first: tuple[float, int] | None = None

    def text(self, done: int, workers: int = 0) -> str:
        """The number of workers, the rate and the time that remains, as far as known, for the end of a line."""
        counted = f", {workers} worker{'' if workers == 1 else 's'}" if workers else ""
        return counted + self._rate(done)

    def _rate(self, done: int) -> str:
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
            return ""
        began, first = self._first
        if now - began < 1 or done <= first:
            return ""
        rate = (done - first) / (now - began)
        left = "" if done >= self._total else f", {duration((self._total - done) / rate)} left"
        return f", {rate:.1f} images/s{left}"


def duration(seconds: float) -> str:
    """A time in two units at most: "40 s", "12 min", "3 h 20 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
