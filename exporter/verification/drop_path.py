"""What drop path and dropout must do, and the checks that they do it."""

from collections import Counter
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from exporter.models.cells import FAMILIES
from exporter.models.config import ModelConfig, Task
from exporter.models.variables import cells, variables
from exporter.probe.jobs import DRAWS, DROPOUT
from exporter.probe.result import ProbeResult
from exporter.terminal import counted
from exporter.verification.results import Check, Expected, count

#: The probability that a right artifact fails for bad luck, over all of its decisions.
ERROR_RATE = 1e-6


def decisions(config: ModelConfig, task: Task) -> dict[str, float]:
    """The probability to keep of each decision, by its branch (``cell_3/comb_iter_0/left``) or "dropout".

    Source: the schedule of the original training at its last step. A cell's probability falls from 1 in proportion to
    its number, counting from the first that takes part; every branch but an identity or a plain projection decides.
    """
    family = FAMILIES[config.family]
    total = config.num_cells + family.stem_cells_in_drop_path
    found = {}
    for number, (name, cell) in enumerate(cells(config), 1):
        keep = 1 - number / total * (1 - config.drop_path_keep_prob)
        for index, branches in enumerate(cell.combinations):
            for side, branch in zip(("left", "right"), branches, strict=True):
                if branch.kind != "none" and keep < 1:
                    found[f"{name}/comb_iter_{index}/{side}"] = keep
    if task == "classification" and config.dropout_keep_prob < 1:
        found[DROPOUT] = config.dropout_keep_prob
    return found


def checks(expected: Expected, found: ProbeResult) -> Iterator[Check]:
    """The checks of all decisions of a training graph."""
    wanted = decisions(expected.config, expected.task)
    made = found.random_decisions
    own, right = Counter(decision.name for decision in made), Counter(list(wanted))
    wrong = sorted(((own - right) + (right - own)).elements())
    detail = counted(len(made), "decision") + (f", first: {wrong[0]}" if wrong else "")
    yield count("random decisions that differ", len(wrong), detail)
    yield _shapes(expected, {decision.name: decision.shape for decision in made})
    repeated = [decision.name for decision in made if decision.repeats]
    yield count("random numbers that repeat", len(repeated), f"first: {repeated[0]}" if repeated else "")
    yield _shares(wanted, {decision.name: decision.share_kept for decision in made})
    yield count("random numbers drawn in inference", found.inference_decisions, "inference must draw none")


def _shapes(expected: Expected, shapes: dict[str, str]) -> Check:
    """Drop path decides for each example, dropout for each feature of each."""
    features = [
        spec.shape[0] for spec in variables(expected.config, "classification") if spec.name.endswith("/FC/weights")
    ]
    right = {name: f"(None, {features[-1]})" if name == DROPOUT else "(None, 1, 1, 1)" for name in shapes}
    wrong = [name for name, shape in shapes.items() if shape != right[name]]
    detail = f"first: {wrong[0]} draws {shapes[wrong[0]]}, expected {right[wrong[0]]}" if wrong else ""
    return count("random decisions of another shape", len(wrong), detail)


def _shares(wanted: dict[str, float], shares: dict[str, float]) -> Check:
    """The largest distance of a share from its probability, in standard errors."""
    both = [name for name in wanted if name in shares]
    limit = NormalDist().inv_cdf(1 - ERROR_RATE / 2 / max(len(both), 1))
    worst, where = 0.0, ""
    for name in both:
        keep = wanted[name]
        distance = abs(shares[name] - keep) / np.sqrt(keep * (1 - keep) / DRAWS)
        if not distance <= worst:
            worst, where = float(distance), name
    largest = f", largest at {where}: {shares[where]:.4f}, expected {wanted[where]:.4f}" if where else ""
    drawn = f"{DRAWS} draws of each of {counted(len(both), 'decision')}"
    detail = f"{drawn}; one right artifact in a million fails{largest}"
    return Check("shares kept, distance in standard errors", worst, limit, detail)
