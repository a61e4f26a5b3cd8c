"""A release of two networks of one cell, made by the fixtures of ``tests/release``; and what tests do to a copy."""

import hashlib
import json
from pathlib import Path
from typing import Any

from exporter.models.config import ModelConfig
from exporter.release import identity
from tests.support.command import Command, succeeded
from tests.support.fixtures import TINY

#: Two networks of one cell: both families and formats, versions that share graphs, and little to compute.
SMALL: dict[str, dict[str, Any]] = {
    "small_nasnet": {"family": "nasnet", "versions": {4: "saved_model_2", 5: "saved_model_2"}},
    "small_pnasnet": {"family": "pnasnet", "versions": {1: "hub", 2: "hub"}},
}


def fields(name: str) -> dict[str, Any]:
    """The fields of one of these networks, as in its configuration file."""
    return {**TINY, "name": name, "num_cells": 1, "reductions": [], **SMALL[name]}


def config(name: str) -> ModelConfig:
    return ModelConfig.from_dict(fields(name))


HANDLES = sorted(
    f"google/imagenet/{name}/{task}/{version}"
    for name, own in SMALL.items()
    for task in ("classification", "feature_vector")
    for version in own["versions"]
)
WHOLE = ["SHA256SUMS", "google", "imagenet_labels.txt", "index.html", "manifest.json", "provenance.json"]


def hashes(release: Path) -> dict[str, str]:
    return {
        path.relative_to(release).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(release.rglob("*"))
        if path.is_file()
    }


def planned(cli: Command, *args: object) -> dict[str, Any]:
    return json.loads(succeeded(cli("release", *args, "--plan", "--json")).stdout)


def states_of(plan: dict[str, Any]) -> dict[str, str]:
    return {each["handle"]: each["state"] for each in plan["artifacts"]}


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def with_other_identity(path: Path) -> None:
    record = json.loads(path.read_text())
    record["inputs"]["packages"]["tensorflow"] = "2.16.0"
    record["identity"] = identity.identity(record["inputs"])
    path.write_text(json.dumps(record))
