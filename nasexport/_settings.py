"""Where archives come from and where they are kept: as a call says, or else as for the command."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter import settings as inner
from exporter.errors import ConfigError
from exporter.settings import LONGEST_TIMEOUT, MOST_RETRIES, SHORTEST_TIMEOUT, read_config
from nasexport._arguments import StrPath, listed, optional_path, within

_MEANS: dict[str, bool] = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


@dataclass(frozen=True)
class Settings:
    """How to fetch archives, and where to keep them. A call without it has the settings of the command.

        >>> import nasexport
        >>> offline = nasexport.Settings(cache_dir="archives", offline=True)

    Attributes:
        cache_dir: the folder of the cache, by default the platform's.
        lock_file: the file of pins, by default the project's ``checkpoints.lock``, or the one of the package.
        mirrors: where to look for archives first: http, https or file URLs, or folders.
        offline: whether the network must not be used.
        frozen: whether archives that are not pinned are refused.
        timeout: how long to wait for a server's first byte, in all, and then for its next ones, in seconds.
        retries: how often a failed transfer is tried again.
    """

    cache_dir: StrPath | None = None
    lock_file: StrPath | None = None
    mirrors: StrPath | Sequence[StrPath] = ()
    offline: bool = False
    frozen: bool = False
    timeout: float = 60.0
    retries: int = 5


def chosen(settings: Settings | None) -> inner.Settings:
    """``settings``, or else those that the user has for the command.

    Raises:
        ConfigError: one of them, the configuration file, or a variable of the environment is not valid.
    """
    if settings is None:
        return _of_the_command()
    within("timeout", settings.timeout, SHORTEST_TIMEOUT, LONGEST_TIMEOUT)
    within("retries", settings.retries, 0, MOST_RETRIES)
    return inner.Settings(
        optional_path(settings.cache_dir),
        optional_path(settings.lock_file),
        tuple(listed(settings.mirrors) or ()),
        settings.offline,
        settings.frozen,
        settings.timeout,
        settings.retries,
    )


def _of_the_command() -> inner.Settings:
    values = {name.replace("-", "_"): value for name, value in read_config().items()}
    if "mirror" in values:
        values["mirrors"] = values.pop("mirror")
    for field, (variable, read) in _VARIABLES.items():
        if text := os.environ.get(variable):
            values[field] = read(variable, text)
    for field in ("cache_dir", "lock_file"):
        if field in values:
            values[field] = Path(values[field])
    values["mirrors"] = tuple(values.get("mirrors", ()))
    return inner.Settings(**values)


def _text(_variable: str, text: str) -> str:
    return text


def _several(_variable: str, text: str) -> list[str]:
    return text.split()


def _flag(variable: str, text: str) -> bool:
    found = _MEANS.get(text.strip().lower())
    if found is None:
        raise ConfigError(f"{variable} is {text[:60]!r}, expected 1 or 0")
    return found


def _number(kind: Callable[[str], float], low: float, high: float) -> Callable[[str, str], float]:
    def read(variable: str, text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ConfigError(f"{variable} is {text[:60]!r}, expected a number from {low:g} to {high:g}")
        return number

    return read


#: The variables of the environment, by the field of `Settings`, each with what reads its text.
_VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "cache_dir": ("NASEXPORT_CACHE_DIR", _text),
    "lock_file": ("NASEXPORT_LOCK", _text),
    "mirrors": ("NASEXPORT_MIRROR", _several),
    "offline": ("NASEXPORT_OFFLINE", _flag),
    "frozen": ("NASEXPORT_FROZEN", _flag),
    "timeout": ("NASEXPORT_TIMEOUT", _number(float, SHORTEST_TIMEOUT, LONGEST_TIMEOUT)),
    "retries": ("NASEXPORT_RETRIES", _number(int, 0, MOST_RETRIES)),
}
