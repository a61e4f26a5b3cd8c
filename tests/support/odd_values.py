"""Values that no file should have, and how they get into the places of those that it has."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(codec="utf-8", max_codepoint=0x2FFF), max_size=6)
_ODD = (None, True, False, -1, 0, 1, 2**63, 10**400, 0.5, 1.0, float("nan"), float("inf"), "", "1", "x\x1b\n\u202e")
ANYTHING = st.sampled_from(_ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXT, values, max_size=3),
    max_leaves=4,
)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something is in a value, itself included: the keys and indices that lead there."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        yield from places(item, (*place, key))


def _as_lists(value: Any) -> Any:
    """A copy in which tuples are lists, as a parser gives them."""
    if isinstance(value, dict):
        return {key: _as_lists(item) for key, item in value.items()}
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else copy.copy(value)


def changed(whole: Any, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy in which ``change`` was made to what has the last key of ``place``."""
    whole = _as_lists(whole)
    parent = whole
    for key in place[:-1]:
        parent = parent[key]
    change(parent, place[-1])
    return whole
