"""What is wrong with a value that msgspec refused, in words: the field, what was found and what was expected.

msgspec names the place of a field, but neither shows what it found nor says all that it expected.
"""

import re
import reprlib
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

#: Where in a value a field is: names of fields, keys of mappings, which may be anything, and places in lists.
Place = tuple[Any, ...]

#: The largest whole number; more than 64 bits are never meant.
MOST = 2**63 - 1
_PATH = re.compile(r" - at `(?P<key>key` in `)?\$(?P<steps>[^`]*)`$")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 200


def shown(value: Any) -> str:
    """A value as an error shows it: short, in one line, with control characters written out."""
    return _SHORTENED.repr(value)


class _Shortened(reprlib.Repr):
    def repr_int(self, value: int, level: int) -> str:
        try:
            return super().repr_int(value, level)
        except ValueError:  # Python refuses to write so many digits
            return f"a whole number of {value.bit_length()} bits"


_SHORTENED = _Shortened()
_SHORTENED.maxstring = _SHORTENED.maxother = 80
_SHORTENED.maxdict = _SHORTENED.maxlist = _SHORTENED.maxtuple = 6
_SHORTENED.maxlevel = 3


def problem(value: Any, type_: Any, error: msgspec.ValidationError) -> str:
    """What is wrong with ``value``, which msgspec did not take for a ``type_``."""
    match = _PATH.search(str(error))
    place: Place = ()
    found, expected = value, msgspec.inspect.type_info(type_)
    for step in _STEP.finditer(match["steps"] if match else ""):
        key: Any = step["name"]
        if key is None:
            key = _culprit(value, type_, place, str(error)) if step["index"] == "..." else int(step["index"])
        place += (key,)
        found = (list(found) if isinstance(found, set) else found)[key]  # YAML has sets, too
        expected = _inner(expected, key)
    if error.__cause__ is not None:  # raised by the type itself, which knows what it says
        return f"{_name(place)}: {error.__cause__}" if place else str(error.__cause__)
    fields = next((one for one in _alternatives(expected) if _is_record(one)), None)
    if fields is not None and isinstance(found, Mapping):
        return _wrong_fields(fields, found, place)
    if match and match["key"]:
        key = _culprit(value, type_, place, str(error))
        keys = next(one.key_type for one in _alternatives(expected) if isinstance(one, msgspec.inspect.DictType))
        return f"{_name(place)} has the key {shown(key)}, expected {_described(keys, key)}"
    return f"{_name(place)} is {shown(found)}, expected {_described(expected, found)}"


def _culprit(value: Any, type_: Any, place: Place, message: str) -> Any:
    """The key of the mapping at ``place`` that msgspec means; it names none, but says the same of all up to that one.

    msgspec takes them in order and stops at the first, so the least number of them that it refuses is looked for.
    """
    mapping = value
    for key in place:
        mapping = mapping[key]

    def refused(count: int) -> bool:
        try:
            msgspec.convert(_with(value, place, dict(islice(mapping.items(), count))), type_, str_keys=True)
        except msgspec.ValidationError as error:
            return str(error) == message
        return False

    low, high = 0, len(mapping)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if refused(middle) else (middle, high)
    return next(islice(mapping, low, None))


def _with(value: Any, place: Place, replacement: Any) -> Any:
    """A copy of ``value`` with ``replacement`` at ``place``."""
    if not place:
        return replacement
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[place[0]] = _with(copy[place[0]], place[1:], replacement)
    return copy


def _wrong_fields(fields: Any, found: Mapping[Any, Any], place: Place) -> str:
    """Which fields a mapping lacks, or has too many."""
    known = {field.encode_name: field.required for field in fields.fields}
    if missing := [name for name, required in known.items() if required and name not in found]:
        return f"{_name(place)} lacks {', '.join(missing)}, expected {', '.join(known)}"
    unknown = ", ".join(key_text(key) for key in islice((key for key in found if key not in known), 10))
    return f"{_name(place)} has {unknown[:_LONGEST]}, expected no other fields than {', '.join(known)}"


def _name(place: Place) -> str:
    """``a.b[0]['a key']`` for a field; "it" for the whole."""
    text = "".join(f"[{key_text(key)}]" if key_text(key) != key else f".{key}" for key in place)
    return text.removeprefix(".") or "it"


def key_text(key: Any) -> str:
    return key if _is_plain(key) and len(key) <= _LONGEST else shown(key)


def _is_plain(key: Any) -> bool:
    return isinstance(key, str) and _PLAIN.fullmatch(key) is not None


def _is_record(type_: Any) -> bool:
    return isinstance(type_, msgspec.inspect.StructType | msgspec.inspect.DataclassType)


def _alternatives(type_: Any) -> Iterator[Any]:
    """The types that a union has, or the one type, without descriptions."""
    if isinstance(type_, msgspec.inspect.Metadata):
        yield from _alternatives(type_.type)
    elif isinstance(type_, msgspec.inspect.UnionType):
        for one in type_.types:
            yield from _alternatives(one)
    else:
        yield type_


def _inner(type_: Any, key: Any) -> Any:
    """The type of what a value of ``type_`` has under ``key``."""
    for one in _alternatives(type_):
        if _is_record(one):
            return next(field.type for field in one.fields if field.encode_name == key)
        if isinstance(one, msgspec.inspect.DictType):
            return one.value_type
        if isinstance(key, int) and hasattr(one, "item_type"):
            return one.item_type
    raise AssertionError(f"{type_} has nothing under {key}")


def _described(type_: Any, found: Any) -> str:
    """What a value of ``type_`` would be, in words; ``found`` is what is there in its stead."""
    kinds = msgspec.inspect
    match type_:
        case kinds.Metadata(extra_json_schema={"description": str(description)}):
            return description
        case kinds.Metadata():
            return _described(type_.type, found)
        case kinds.UnionType():
            numbers = any(isinstance(one, kinds.FloatType) for one in type_.types)  # whole ones among them
            named = [one for one in type_.types if not (numbers and isinstance(one, kinds.IntType))]
            return " or ".join(_described(one, found) for one in named)
        case kinds.IntType():
            too_large = isinstance(found, int) and found > MOST and type_.le == MOST
            return f"a whole number{_bounds(type_)}" + (", below 2**63" if too_large else "")
        case kinds.FloatType(le=sys.float_info.max):
            return f"a finite number{_bounds(type_)}"
        case kinds.FloatType():
            return f"a number{_bounds(type_)}"
        case kinds.StrType():
            return "a text that is not empty" if type_.min_length else "a text"
        case kinds.BoolType():
            return "true or false"
        case kinds.NoneType():
            return "null"
        case kinds.LiteralType():
            return " or ".join(map(repr, type_.values))
        case kinds.DictType():
            return "a mapping"
        case kinds.StructType() | kinds.DataclassType():
            return f"a mapping with {', '.join(field.encode_name for field in type_.fields)}"
    return f"a list{_length(type_)}"


def _length(type_: Any) -> str:
    least, most = type_.min_length, type_.max_length
    if least is None:
        return ""
    return f" of {least}" if least == most else f" of at least {least}"


def _bounds(type_: Any) -> str:
    above, least, most = type_.gt, type_.ge, type_.le
    low = f"above {above:,}" if above is not None else f"of at least {least:,}" if least is not None else ""
    if most in (None, MOST, sys.float_info.max):
        return low and f" {low}"
    return f" {low} and at most {most:,}" if low else f" of at most {most:,}"
