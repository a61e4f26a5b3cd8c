"""The page about large data sets: the options that it names are there, here and in Dask, and its manifest is one."""

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from exporter.cli.main import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "scale.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def _lines() -> list[list[str]]:
    text = "".join(_blocks("sh")).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line)) and words[0] in ("nasexport", "dask")]


@pytest.mark.parametrize("words", _lines(), ids=lambda words: " ".join(words[:2]))
def test_every_option_is_one(words: list[str]) -> None:
    if words[0] == "nasexport":
        command: Any = main.commands[words[1]]
    else:
        command = importlib.import_module(f"distributed.cli.dask_{words[1]}").main
    context = click.Context(command)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known
    if words[0] == "nasexport":
        command.parse_args(context, words[2:])


def test_the_manifest_is_that_of_a_cluster() -> None:
    (text,) = _blocks("yaml")
    manifest = yaml.safe_load(text)
    assert (manifest["apiVersion"], manifest["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    # What the operator's schema asks for: spec.worker.spec, spec.scheduler.spec and spec.scheduler.service.
    worker, scheduler = manifest["spec"]["worker"], manifest["spec"]["scheduler"]
    names = {volume["name"] for volume in worker["spec"]["volumes"]}
    for part in (worker, scheduler):
        for container in part["spec"]["containers"]:
            assert container["image"] == "nasexport-worker" and container["args"][0] == "dask"
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= names
    assert isinstance(worker["replicas"], int)
    ports = {port["name"] for port in scheduler["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in scheduler["service"]["ports"]} == ports
    assert scheduler["service"]["selector"]["dask.org/component"] == "scheduler"
