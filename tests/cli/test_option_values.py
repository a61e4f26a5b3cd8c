"""What options may be given: whatever is no value of theirs is wrong usage, told in a line, before anything is done."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.cli.main import main
from exporter.errors import ConfigError
from exporter.terminal import message
from tests.support.command import Command, files_below


def _options(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command, Any]]:
    """Every option and argument that takes a value, of every command."""
    for parameter in command.params:
        if not getattr(parameter, "is_flag", False) and parameter.name not in ("help", "version"):
            yield path, command, parameter
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from _options(inner, (*path, name))


OPTIONS = list(_options(main))
NUMBERS = [each for each in OPTIONS if isinstance(each[2].type, click.types.IntParamType | click.types.FloatParamType)]
#: Options that take a number in a text of their own, with a value of each that is right.
SPELLED = {"shard": "1/3", "memory": "4G", "versions": "3,4"}
_ODD = st.sampled_from(
    [
        *("nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-1e400", "1e308", "1e-400", "-0.0", "0", "-1", "", " "),
        *("9" * 30, "9" * 4000, "9" * 5000, "-" + "9" * 5000, "0x10", "1_000", "\u0663", "\xb2", "1/0", "1/1000000000"),
        *(
            "9" * 5000 + "/" + "9" * 5000,
            "1/-1",
            "0/0",
            "\u0661/\u0663",
            "9" * 400 + "G",
            "1e9G",
            "-1G",
            "nanG",
            "\x1b[31m",
        ),
    ]
)
_VALUES = (
    _ODD | st.floats().map(str) | st.integers().map(str) | st.text(st.characters(exclude_characters="\0"), max_size=8)
)


def _value(command: click.Command, parameter: Any, value: str) -> Any:
    """What a command takes a value for; it is not run."""
    context = click.Context(command, info_name="nasexport")
    with context:
        return parameter.process_value(context, (value,) if parameter.multiple or parameter.nargs != 1 else value)


def _outcome(command: click.Command, parameter: Any, value: str) -> Any:
    """The value that a command takes; None where it is refused, as it should be."""
    try:
        return _value(command, parameter, value)
    except (click.UsageError, ConfigError) as error:
        text = error.format_message() if isinstance(error, click.UsageError) else str(error)
        assert len(message(text, 600).splitlines()) <= 2, text
        return None


def _ids(each: Any) -> str:
    return "-".join((*each[0], each[2].name))


def test_every_command_is_looked_at() -> None:
    assert {_ids(each) for each in OPTIONS} >= {"fetch-timeout", "release-shard", "release-verify-jobs", "serve-port"}
    assert len(NUMBERS) >= 25


@pytest.mark.parametrize("each", NUMBERS, ids=_ids)
@settings(max_examples=60, deadline=None)
@given(value=_VALUES)
@example("nan")
@example("inf")
@example("9" * 4000)
def test_a_number_is_finite_and_within_bounds_or_refused(each: Any, value: str) -> None:
    _, command, parameter = each
    number = _outcome(command, parameter, value)
    if number is not None:
        assert math.isfinite(number) and 0 <= number <= 2**32
        assert isinstance(number, float) or abs(number) < 10**10


@pytest.mark.parametrize("each", [each for each in OPTIONS if each[2].name in SPELLED], ids=_ids)
@settings(max_examples=100, deadline=None)
@given(value=_VALUES)
@example("1/1000000000")
def test_a_number_that_is_spelled_is_within_bounds_or_refused(each: Any, value: str) -> None:
    _, command, parameter = each
    assert _outcome(command, parameter, SPELLED[parameter.name])
    found = _outcome(command, parameter, value)
    for number in found if isinstance(found, tuple | list) else [found or 0]:
        assert 0 <= number < 10**28


@pytest.mark.parametrize(
    "each", [each for each in OPTIONS if not isinstance(each[2].type, click.Choice | click.types.IntRange)], ids=_ids
)
def test_an_empty_value_stands_for_nothing(each: Any) -> None:
    """As a variable of a script that is not set: it is neither the working folder nor everything."""
    _, command, parameter = each
    with pytest.raises((click.UsageError, ConfigError)):
        _value(command, parameter, "")


@pytest.mark.parametrize("each", [each for each in OPTIONS if isinstance(each[2].type, click.Path)], ids=_ids)
def test_a_path_has_no_nul(each: Any) -> None:
    _, command, parameter = each
    with pytest.raises(click.UsageError, match="has a NUL"):
        _value(command, parameter, "a\0b")


@pytest.mark.parametrize(
    "arguments",
    [
        ("fetch", "nasnet_mobile", "--timeout", "nan"),
        ("fetch", "nasnet_mobile", "--timeout", "inf"),
        ("fetch", "nasnet_mobile", "--timeout", "1e30"),
        ("verify", "a", "--time-limit", "inf"),
        ("verify", "a", "--time-limit", "-1"),
        ("release", "--shard", "1/1000000000"),
        ("release", "--jobs", "1000000000"),
        ("release", "--memory", "9" * 400 + "G"),
        ("release", "--versions", "9" * 5000),
        ("release", "--models", ""),
        ("synth", "nasnet_mobile", "--output", ""),
        ("synth", "nasnet_mobile", "--output", "x", "--seed", "9" * 5000),
        ("evaluate", "a", "--images", "b", "--batch-size", "1000000000"),
        ("serve", "a", "--port", "65536"),
        ("serve", "a", "--host", ""),
        ("diff", "a", "b", "--tolerance", "inf"),
    ],
    ids=lambda arguments: " ".join(arguments)[:50],
)
def test_a_value_that_is_none_is_wrong_usage(own_cli: Command, arguments: tuple[str, ...]) -> None:
    result = own_cli(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    usage, _, said = result.stderr.partition("Error: ")
    assert usage.startswith("Usage: nasexport ") and len(said.splitlines()) == 1
    assert len(result.stderr.encode()) <= 1000
    assert files_below(own_cli.cwd) == []


def test_the_environment_is_held_against_the_same_bounds(own_cli: Command, tmp_path: Path) -> None:
    for name, value in (("NASEXPORT_TIMEOUT", "nan"), ("NASEXPORT_RETRIES", "9" * 5000)):
        assert own_cli.with_variables(**{name: value})("fetch", "nasnet_mobile", "--offline").returncode == 2
