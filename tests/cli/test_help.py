"""What help looks like, what it suggests, and what a shell completes; the commands' own tests try what they do."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete

from exporter.cli.commands import ARCHIVES
from exporter.cli.main import main
from exporter.models.config import known_name, models
from tests.support.command import Command, refusal, succeeded


def _commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)


COMMANDS = dict(_commands(main))


def _help(names: tuple[str, ...], columns: int) -> str:
    context = click.Context(main, info_name="nasexport", terminal_width=columns - 2, **main.context_settings)
    for index, name in enumerate(names):
        command = COMMANDS[names[: index + 1]]
        context = click.Context(command, parent=context, info_name=name, terminal_width=columns - 2)
    return context.command.get_help(context)


@pytest.mark.parametrize("group", [(), *(names for names, each in COMMANDS.items() if isinstance(each, click.Group))])
def test_a_summary_is_a_line_that_nothing_cuts(group: tuple[str, ...]) -> None:
    inner = {names[-1]: each for names, each in COMMANDS.items() if names[:-1] == group}
    for columns in (80, 60, 40):
        text = _help(group, columns)
        shown = " ".join(text.split())
        for name, command in inner.items():
            summary = command.get_short_help_str(1000)
            assert f"{name} {summary}" in shown
            assert columns < 80 or re.search(rf"^  {name} +{re.escape(summary)}$", text, re.MULTILINE), name


def test_commands_are_grouped() -> None:
    headings = re.findall(r"^(\w+):$", _help((), 80), re.MULTILINE)
    assert headings == ["Options", "Make", "Check", "Use", "Publish", "Examples"]
    listed = main.list_commands(click.Context(main))
    assert sorted(listed) == sorted(main.commands) and listed[0] == "models"


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_options_about_archives_come_last_and_then_two_examples(names: tuple[str, ...]) -> None:
    command, text = COMMANDS[names], _help(names, 80)
    if "--cache-dir" in text:
        options, archives = text.split(f"\n{ARCHIVES}:\n")
        assert "--help" in options and "--cache-dir" in archives
        for name in ("--mirror", "--offline", "--frozen", "--timeout", "--retries", "--lock-file"):
            assert not re.search(rf"^ +{name}\b", options, re.MULTILINE)
    if isinstance(command, click.Group) and not command.invoke_without_command:
        return
    examples = [line.strip() for line in text.split("\nExamples:\n")[1].splitlines()]
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(example)
        if words[0] == "nasexport":
            _require_valid(words[1:], command)


def _require_valid(words: list[str], wanted: click.Command) -> None:
    """The words are taken by that command, with valid options and all arguments."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and words[0] in command.commands:
        command = command.commands[words[0]]
        words = words[1:]
    assert command is wanted
    command.make_context("example", words)


def test_the_version_has_a_short_option(cli: Command) -> None:
    assert succeeded(cli("-V")).stdout == succeeded(cli("--version")).stdout


@pytest.mark.parametrize("written", ["nasnet-large", "NASNet_Large", "NASNET LARGE", "nasnetlarge"])
def test_a_model_may_be_written_in_other_ways(written: str) -> None:
    assert known_name(written) == "nasnet_large"


@pytest.mark.parametrize("other", ["nasnet_larger", "nasnet", "large", "nasnet-large.yaml", "", "-" * 10_000])
def test_other_names_stay_what_they_are(other: str) -> None:
    assert known_name(other) == other


def test_commands_take_models_as_they_are_written(cli: Command) -> None:
    for written in ("nasnet-mobile", "NASNet_Mobile"):
        told = succeeded(cli("models", written)).stdout
        assert told.startswith("nasnet_mobile: ") and told.count("\n\n") == 0
    plan = ("release", "--plan", "--models", "NASNet-Mobile")
    assert succeeded(cli(*plan)).stdout == succeeded(cli("release", "--plan", "--models", "nasnet_mobile")).stdout
    # Of both ways of naming it, the model is the same.
    message = refusal(cli(*plan, "--checkpoint", "nasnet-mobile=absent"), 3)
    assert "there is no checkpoint at absent" in message


def test_who_types_it_wrong_is_asked_what_was_meant(cli: Command) -> None:
    message = refusal(cli("build", "nasnet_larg"), 2)
    assert "there is no model 'nasnet_larg'; did you mean nasnet_large?" in message
    assert "did you mean" not in refusal(cli("build", "resnet"), 2)
    assert "Did you mean 'build'?" in cli("biuld").stderr
    assert "Did you mean" in cli("build", "nasnet_mobile", "--formt", "onnx").stderr


def _completed(*words: str) -> list[str]:
    *before, last = words
    return [item.value for item in ShellComplete(main, {}, "nasexport", "X").get_completions(before, last)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("mod",), ["models"]),
        (("models", "nasnet_"), ["nasnet_large", "nasnet_mobile"]),
        (("build", "pnasnet_l"), ["pnasnet_large"]),
        (("build", "--format", "o"), ["onnx"]),
        (("build", "--version", ""), ["1", "2", "3", "4", "5"]),
        (("build", "--task", "f"), ["feature_vector"]),
        (("build", "--precision", ""), ["float32", "float16"]),
        (("verify", "--device", "g"), ["gpu"]),
        (("verify", "--model", "nasnet_m"), ["nasnet_mobile"]),
        (("verify", "--version", "3"), ["3"]),
        (("verify", "--against", "n"), ["numpy"]),
        (("synth", "x", "--layout", "p"), ["plain"]),
        (("diff", "--only", "variables,out"), ["variables,outputs"]),
        (("release", "--models", "nasnet_large,nasnet_"), ["nasnet_large,nasnet_mobile"]),
        (("release", "--formats", "onnx,a"), ["onnx,all"]),
        (("release", "--versions", "4,o"), ["4,onnx"]),
        (("release", "--checkpoint", "pnasnet_l"), ["pnasnet_large="]),
        (("release", "verify", "--checkpoint", "nasnet_m"), ["nasnet_mobile="]),
        (("cache", "pr"), ["prune"]),
        (("reference", "record", "nasnet_m"), ["nasnet_mobile"]),
        (("predict", "--model", "pnasnet_m"), ["pnasnet_mobile"]),
        (
            ("handles", "install", "--handle", "google/imagenet/nasnet_large/c"),
            [f"google/imagenet/nasnet_large/classification/{number}" for number in (1, 3, 4, 5)],
        ),
        (
            ("release", "publish", "--remove", "google/imagenet/nasnet_mobile/feature_vector/o"),
            ["google/imagenet/nasnet_mobile/feature_vector/onnx"],
        ),
    ],
)
def test_a_shell_completes_what_can_be_listed(words: tuple[str, ...], expected: list[str]) -> None:
    assert _completed(*words) == expected


def test_every_model_that_is_asked_for_is_completed() -> None:
    arguments = [
        (names, parameter)
        for names, command in COMMANDS.items()
        for parameter in command.params
        if "MODEL" in (parameter.metavar or "")
    ]
    assert len(arguments) > 10
    for names, parameter in arguments:
        context = click.Context(COMMANDS[names])
        found = [item.value for item in parameter.shell_complete(context, "pnasnet_l")]
        assert found in (["pnasnet_large"], ["pnasnet_large="]), (names, parameter.name)
    assert len(models()) == 4
