"""Compares what an artifact does with the reference, check by check.

The reference is the TF-Slim graph run straight from the checkpoint (`exporter.reference`); the artifact was loaded as
a user would (`exporter.probe`). Each ran in a process of its own; what they wrote down meets here, in NumPy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exporter.config import ModelConfig, Task
from exporter.layout import VariableSpec, variables

#: Largest difference allowed, as a part of the largest magnitude in the reference. Graphs of the same weights differ
#: by up to 5e-5 of it between TensorFlow versions; a kernel that is 2 % off differs by far more.
TOLERANCE = 1e-4
#: Momentum of the training step that `exporter.probe` takes; repeated here because that module imports TensorFlow.
TRAINING_MOMENTUM = 0.75

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Check:
    """One comparison. ``figure`` is what was measured, and passes where it is at most ``tolerance``."""

    name: str
    figure: float
    tolerance: float
    detail: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.figure <= self.tolerance)  # a NaN is at most nothing

    def __str__(self) -> str:
        verdict = "ok  " if self.passed else "FAIL"
        measured = f"{self.figure:.3g}, at most {self.tolerance:.3g}"
        return f"{verdict} {self.name}: {measured}" + (f" ({self.detail})" if self.detail else "")

    def to_dict(self) -> dict[str, Any]:
        # JSON has no NaN and no infinity.
        figure = self.figure if np.isfinite(self.figure) else None
        return {**asdict(self), "figure": figure, "passed": self.passed}


@dataclass(frozen=True)
class Report:
    """All checks of one artifact. ``notes`` are facts worth knowing that do not decide."""

    path: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        checks = [check.to_dict() for check in self.checks]
        return {"path": self.path, "passed": self.passed, "checks": checks, "notes": list(self.notes)}


@dataclass(frozen=True)
class Expected:
    """What is to be checked: a network, and the options of the artifact.

    ``signature`` is the name of the only signature's output, or None for an artifact without signatures.
    """

    config: ModelConfig
    task: Task
    momentum: float
    signature: str | None


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def compare(expected: Expected, reference: Arrays, found: Arrays, findings: list[str]) -> list[Check]:
    """Every check of a TF2 SavedModel, passed or not.

    Args:
        reference: arrays of `exporter.reference.reference`.
        found: arrays of `exporter.probe.probe`.
        findings: what the gate says of the file.
    """
    specs = variables(expected.config, expected.task)
    name = "Logits" if expected.task == "classification" else "global_pool"
    output = reference[f"end_point/{name}"]
    checks = [_count("findings of the gate for TensorFlow 1.15", len(findings), "; ".join(findings[:1]))]
    checks += _variables(specs, reference, found)
    checks += _outputs("output", expected.task, output, found.get("output"))
    checks += _outputs("output for one image", expected.task, output[:1], found.get("output_single"))
    checks += _signatures(expected, output, found)
    checks.append(_regularization(reference[f"regularization_loss/{expected.task}"], found["regularization_loss"]))
    checks += _training(expected, reference, found)
    return checks


def _count(name: str, wrong: int, detail: str) -> Check:
    return Check(name, wrong, 0, detail)


def _variables(specs: list[VariableSpec], reference: Arrays, found: Arrays) -> Iterator[Check]:
    digests = dict(zip(reference["names"].tolist(), reference["digests"].tolist(), strict=True))
    own = dict(zip(found["names"].tolist(), found["digests"].tolist(), strict=True))
    names = [spec.name for spec in specs]
    wrong = sorted(set(names) ^ set(own)) or [a for a, b in zip(names, found["names"].tolist(), strict=True) if a != b]
    yield _count(
        "variables named differently", len(wrong), f"{len(own)} variables" + (f", first: {wrong[0]}" if wrong else "")
    )
    trained = [spec.name for spec in specs if spec.trainable]
    wrong = sorted(set(trained) ^ set(found["trainable"].tolist()))
    detail = f"{len(found['trainable'])} trainable" + (f", first: {wrong[0]}" if wrong else "")
    yield _count("trainable variables that differ", len(wrong), detail)
    wrong = [name for name in names if own.get(name) != digests[name]]
    detail = "bit for bit those of the checkpoint" if not wrong else f"differs first in {wrong[0]}"
    yield _count("variables with other values", len(wrong), detail)


def _outputs(name: str, task: Task, expected: np.ndarray, found: np.ndarray | None) -> Iterator[Check]:
    """Compares outputs of shape [batch, classes or features]."""
    if found is None:
        yield Check(name, float("nan"), TOLERANCE, "the artifact has no such output")
        return
    if found.shape != expected.shape or found.dtype != expected.dtype:
        detail = f"is {found.dtype} {list(found.shape)}, expected {expected.dtype} {list(expected.shape)}"
        yield Check(f"{name}, shape and type", float("nan"), 0, detail)
        return
    difference = np.abs(found.astype(np.float64) - expected)
    largest = float(np.abs(expected).max())
    detail = f"{expected.dtype} {list(expected.shape)}, largest difference {difference.max():.3g} of {largest:.3g}"
    yield Check(f"{name}, relative difference", float(difference.max()) / largest, TOLERANCE, detail)
    if task == "classification":
        disagree = int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
        yield _count(f"{name}, top-1 disagreements", disagree, f"of {len(expected)} images")


def _signatures(expected: Expected, output: np.ndarray, found: Arrays) -> Iterator[Check]:
    wanted = set() if expected.signature is None else {f"signature/serving_default/{expected.signature}"}
    names = {name for name in found if name.startswith("signature/")}
    wrong = sorted(wanted ^ names)
    listed = ", ".join(sorted(name.removeprefix("signature/") for name in names)) or "none"
    yield _count("signatures that differ", len(wrong), listed + (f", expected {sorted(wanted)}" if wrong else ""))
    for name in sorted(wanted & names):
        yield from _outputs(name, expected.task, output, found[name])


def _regularization(expected: np.ndarray, found: np.ndarray) -> Check:
    difference = abs(float(found.sum()) - float(expected)) / float(expected) if expected else float(found.sum())
    detail = f"{found.sum():.6g}, reference {float(expected):.6g}, {found.size} callable"
    return Check("regularization losses, relative difference", difference, TOLERANCE, detail)


def _training(expected: Expected, reference: Arrays, found: Arrays) -> Iterator[Check]:
    changed = int((found["after_inference"] != found["digests"]).sum())
    yield _count("variables changed by inference", changed, "none may")
    statistics = [name.removeprefix("before/") for name in found if name.startswith("before/")]
    names = found["names"].tolist()
    moved = {name for name, a, b in zip(names, found["digests"], found["after_training"], strict=True) if a != b}
    wrong = sorted(moved ^ set(statistics))
    detail = f"{len(statistics)} moving statistics move, nothing else" + (f"; first wrong: {wrong[0]}" if wrong else "")
    yield _count("variables changed by training", len(wrong), detail)
    known = [
        name for name in statistics if _known_in_training(expected.config, name) and f"training/{name}" in reference
    ]
    for key, before, momentum in (
        ("moved", "before", TRAINING_MOMENTUM),
        ("moved_by_default", "moved", expected.momentum),
    ):
        yield _moving_averages(key, before, momentum, known, reference, found)
    if expected.task == "feature_vector" and expected.config.drop_path_keep_prob == 1.0:
        yield from _outputs(
            "output in training mode", expected.task, reference["training/global_pool"], found["training/output"]
        )


def _known_in_training(config: ModelConfig, name: str) -> bool:
    """Whether a batch norm comes before the first drop path, so that its batch statistics are no matter of chance."""
    before = ("conv0_bn/", "cell_stem_0/beginning_bn/")
    return config.drop_path_keep_prob == 1.0 or name.startswith(before)


def _moving_averages(
    key: str, before: str, momentum: float, names: list[str], reference: Arrays, found: Arrays
) -> Check:
    """The largest error of a moving average after one step, relative to the largest magnitude of its variable."""
    worst, where = 0.0 if names else float("nan"), ""
    for name in names:
        expected = momentum * found[f"{before}/{name}"] + (1 - momentum) * reference[f"training/{name}"]
        scale = max(float(np.abs(expected).max()), 1e-3)
        error = float(np.abs(found[f"{key}/{name}"] - expected).max()) / scale
        if not error <= worst:
            worst, where = error, name
    label = "default momentum" if key == "moved_by_default" else "momentum"
    detail = f"{len(names)} of them known without chance" + (f", largest at {where}" if where else "")
    return Check(f"moving averages at {label} {momentum:g}, relative difference", worst, TOLERANCE, detail)
