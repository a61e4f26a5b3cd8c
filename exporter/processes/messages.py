"""What the command's process and a worker write to each other: JSON, a line for each message.

msgspec converts between types and plain values. The text is `json`'s, which escapes what is not ASCII: file names need
not be valid UTF-8, which msgspec's own encoder refuses.
"""

import json
from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

from exporter.processes.job import Failure

T = TypeVar("T")


class Said(msgspec.Struct, frozen=True, tag="said"):
    """Text about what the job is doing."""

    text: str


class Happened(msgspec.Struct, frozen=True, tag="happened"):
    """An event: the name of its type, and its fields."""

    event: str
    value: Any


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The result, and the largest resident set of the process in bytes."""

    value: Any
    peak_memory: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The error that ended the job."""

    failure: Failure
    traceback: str


class Needed(msgspec.Struct, frozen=True, tag="needed"):
    """The job cannot be done without TensorFlow, and this process is one without."""


Message = Said | Happened | Done | Failed | Needed


def encode(value: object) -> str:
    """A line of JSON for a message or a request."""
    return json.dumps(to_plain(value)) + "\n"


def decode_message(line: str) -> Message:
    return msgspec.convert(json.loads(line), Message)


def decode_request(line: str, request: type[T]) -> T:
    return from_plain(json.loads(line), request)


def to_plain(value: object) -> Any:
    """A value as JSON knows it: dataclasses are dictionaries, paths are text."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_path_to_text)


def from_plain(value: Any, wanted: type[T]) -> T:
    """The value that `to_plain` was given, checked against its type.

    Raises:
        msgspec.ValidationError: it is none of that type.
    """
    return msgspec.convert(value, wanted, str_keys=True, dec_hook=_text_to_path)


def _path_to_text(value: object) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} does not travel between processes")


def _text_to_path(wanted: type, value: Any) -> Any:
    if issubclass(wanted, PurePath) and isinstance(value, str):
        return wanted(value)
    raise NotImplementedError(f"{wanted.__name__} does not travel between processes")
