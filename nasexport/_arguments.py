"""The arguments of public functions: what they may be, and what is meant where one is left out."""

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from exporter.errors import ConfigError
from exporter.models.config import ModelConfig, model
from exporter.processes import device as devices
from exporter.processes import run
from exporter.processes.job import Device
from exporter.processes.jobs import FIND_CARD, FindCardRequest

#: A path, as a string or an object.
StrPath: TypeAlias = str | os.PathLike[str]

T = TypeVar("T")


def path_of(path: StrPath) -> Path:
    """A path as an object, a tilde expanded.

    Raises:
        ConfigError: it is empty, or has a NUL.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise ConfigError(f"the path {text!r} is {'empty' if not text else 'none: it has a NUL'}")
    with contextlib.suppress(RuntimeError):  # there is no such user: it is a name as any other
        return Path(text).expanduser()
    return Path(text)


def optional_path(path: StrPath | None) -> Path | None:
    return None if path is None else path_of(path)


def config_of(name: StrPath) -> ModelConfig:
    """The configuration of a model, by its name or from a ``.yaml`` file.

    Raises:
        ConfigError: there is none.
    """
    return model(os.fspath(name))


def one_of(name: str, value: T, allowed: Collection[T]) -> T:
    """``value``, which must be one of ``allowed``.

    Raises:
        ConfigError: it is not.
    """
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}, expected {' or '.join(map(repr, allowed))}")
    return value


def within(name: str, value: float, low: float, high: float) -> None:
    """Raises ConfigError for a number out of bounds, or none at all."""
    if not low <= value <= high:  # nor a NaN
        expected = f"from {low:g} to {high:g}" if high < float("inf") else f"of {low:g} or more"
        raise ConfigError(f"{name} is {value!r}, expected a number {expected}")


def listed(values: StrPath | Sequence[StrPath] | None) -> list[str] | None:
    """One name or path, or several, as a list of strings; None for none."""
    if values is None:
        return None
    named = [values] if isinstance(values, (str, os.PathLike)) else values
    return [os.fspath(name) for name in named]


@contextlib.contextmanager
def computing_on(device: Device | None) -> Iterator[None]:
    """Within it, jobs compute on this device; None leaves it to each of them.

    Raises:
        ConfigError: there is no device of that name.
        DeviceError: there is no graphics card.
    """
    if device is not None:
        one_of("device", device, devices.DEVICES)
    with devices.using(device):
        if device == "gpu":
            run.run(FIND_CARD, FindCardRequest())
        yield
