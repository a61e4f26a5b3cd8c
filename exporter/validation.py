"""What a file says as a value with a type, or an error that names the field, what was found and what was expected.

Files come from anywhere: what they may take of time and memory is bounded before their parsers see them, and what two
readers may read in two ways, such as a key that is there twice, is refused.

A type is a `msgspec.Struct`, or a dataclass, whose fields may have bounds (`msgspec.Meta`). What is wrong with a value
is said in words of our own, as msgspec neither shows what it found nor says all that it expected.
"""

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from exporter.errors import NasexportError
from exporter.problems import MOST, key_text, problem, shown
from exporter.terminal import printable

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")
#: Makes the caller's error, which names the file, from what is wrong: "retries is True, expected a whole number".
Refusal = Callable[[str], NasexportError]

_LONGEST = 200
#: A byte order mark of UTF-8, which YAML may have.
_MARK = b"\xef\xbb\xbf"
#: The most bytes that each kind of file may have: many times what any of ours has, and what its parser reads in a
#: second or two, whatever is in it.
MOST_JSON, MOST_TOML, MOST_YAML = 2**23, 2**18, 2**17
#: Tables in tables of one key of TOML, by its dots in a line; parsers take memory with the square of it.
_MOST_DOTS = 100


def at_least(least: int, most: int = MOST) -> msgspec.Meta:
    """The bounds of a whole number, to go into ``Annotated``; more than 64 bits are never meant."""
    return msgspec.Meta(ge=least, le=most)


def read(path: Path, most: int, refusal: Refusal) -> bytes:
    """The bytes of a file that may have no more than ``most``.

    Raises:
        OSError: it cannot be read.
        NasexportError: that of ``refusal``, where it has more.
    """
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise refusal(f"it has more than {most:,} bytes, which no such file has")
    return content


#: A finite number, whole or not, that stays what it was.
NotNegative = Annotated[int, at_least(0)] | Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
Fraction = Annotated[int, msgspec.Meta(ge=0, le=1)] | Annotated[float, msgspec.Meta(ge=0, le=1)]


def parse_json(content: bytes, refusal: Refusal) -> Any:
    """The value of JSON; NaN and infinity, which are none, and a key that an object has twice are refused."""
    _require_size(content, MOST_JSON, refusal)
    try:
        text = _text(content)
        value = msgspec.json.decode(text)
        json.loads(text, object_pairs_hook=_require_distinct)  # msgspec takes the last of them in silence
    except (_ParserError, ValueError, RecursionError) as error:
        raise refusal(f"it is not valid JSON: {_line(error)}") from error
    return value


def parse_toml(content: bytes, refusal: Refusal) -> dict[str, Any]:
    """The tables of TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    _require_size(content, MOST_TOML, refusal)
    try:
        text = _text(content)
        for number, line in enumerate(text.split("\n"), start=1):
            if line.count(".") > _MOST_DOTS:
                raise _ParserError(f"line {number} has more than {_MOST_DOTS} dots")
        return tomllib.loads(text)
    except (_ParserError, ValueError, ArithmeticError, RecursionError) as error:
        raise refusal(f"it is not valid TOML: {_line(error)}") from error


def parse_yaml(content: bytes, refusal: Refusal) -> Any:
    """The value of YAML without tags of Python's, without aliases, and without a key that a mapping has twice."""
    import yaml  # takes longer to import than the rest of a configuration to read

    _require_size(content, MOST_YAML, refusal)
    try:
        return yaml.load(_text(content.removeprefix(_MARK)), _yaml_loader())
    # Its constructors raise whatever `int`, a dictionary or a missing match does for `!!int x`, `!!bool x` and others.
    except (
        *(yaml.YAMLError, _ParserError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
        RecursionError,
    ) as error:
        raise refusal(f"it is not valid YAML: {_line(error)}") from error


class _ParserError(Exception):
    """What a parser takes, and we do not."""


@functools.cache
def _yaml_loader() -> "type[yaml.SafeLoader]":
    """PyYAML's safe loader without what makes much of little, and with distinct keys."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event: Any = self.peek_event()
                raise _ParserError(f"line {event.start_mark.line + 1} has an alias, *{event.anchor}: write it out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            value = super().construct_mapping(node, deep)
            if len(value) < len(node.value):
                keys = [self.construct_object(key, deep=True) for key, _ in node.value]
                raise _ParserError(_twice(keys))
            return value

    return Loader


def _require_distinct(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _ParserError(_twice([key for key, _ in pairs]))


def _twice(keys: list[Any]) -> str:
    twice = next(key for key, count in Counter(keys).items() if count > 1)
    return f"the key {key_text(twice)} is there twice"


def _require_size(content: bytes, most: int, refusal: Refusal) -> None:
    if len(content) > most:
        raise refusal(f"it has more than {most:,} bytes, which no such file has")


def convert(value: Any, type_: type[T], refusal: Refusal) -> T:
    """``value``, as a parser gave it, as what ``type_`` says; numbers, texts and truth values are not turned into
    each other.

    Raises:
        NasexportError: that of ``refusal``, where it does not fit.
    """
    try:
        return msgspec.convert(value, type_, str_keys=True)
    except msgspec.ValidationError as error:
        raise refusal(problem(value, type_, error)) from error


def to_plain(value: Any) -> Any:
    """A typed value as JSON has it; numbers of NumPy's that are Python's, too, are written as those."""
    return msgspec.to_builtins(value, enc_hook=_python_float)


def require_schema(value: Any, schema: int, refusal: Refusal) -> None:
    """Refuses a file of another kind than the one that can be read; one without a number is left to its type.

    Raises:
        NasexportError: that of ``refusal``, where the ``schema`` in ``value`` is another.
    """
    found = value.get("schema", schema) if isinstance(value, dict) else schema
    if found != schema:
        raise refusal(f"has schema {shown(found)}, expected {schema}: it needs another nasexport")


def _python_float(value: Any) -> float:
    if isinstance(value, float):
        return float(value)
    raise NotImplementedError(f"{type(value).__name__} is nothing that JSON has")


def _text(content: bytes) -> str:
    """UTF-8 as text; what else it is, is said."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _ParserError("it is UTF-16, expected UTF-8")
    if content.startswith(_MARK):
        raise _ParserError("it begins with a byte order mark, expected UTF-8 without")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _ParserError(f"byte {error.start} is {content[error.start]:#04x}, which is no UTF-8") from error


def _line(error: Exception) -> str:
    """What a parser says, in one line."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return printable(" ".join(str(error).split())[:_LONGEST])
