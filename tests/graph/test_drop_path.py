"""Drop path and dropout of training graphs, measured on networks whose branches have known values.

Every batch norm gets a scale of zero, so that each branch's value is the offset of its last batch norm, or of the one
before its pooling: a constant, different for each. A sum of two branches then tells which of them were dropped, in each
example, and what the kept ones were multiplied with.
"""

import itertools
from collections.abc import Iterator
from math import prod, sqrt
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.graph import network
from exporter.models.cells import FAMILIES, Branch
from exporter.models.config import ModelConfig
from exporter.models.variables import variables
from tests.support.fixtures import REDUCING

EXAMPLES = 600
#: A count may be this many standard deviations from its expected value. A right network fails one comparison in five
#: million by chance, and with the seed below it does so always or never.
DEVIATIONS = 5.2
SEED = 20
KEEP_PROB = 0.3
CHANNELS = 8


def _config(family: str, **fields: Any) -> ModelConfig:
    return ModelConfig.from_dict(
        {
            **REDUCING,
            "family": family,
            "image_size": 32,
            "num_conv_filters": CHANNELS,
            "stem_filters": 12,
            "drop_path_keep_prob": KEEP_PROB,
            "dropout_keep_prob": 0.5,
            **fields,
        }
    )


class _Constants:
    """A network of constants, run once: ``end_points`` are arrays, ``offsets`` the values of its batch norms."""

    def __init__(self, config: ModelConfig, *, training: bool):
        self.config = config
        specs = variables(config, "classification")
        # Sums of any two, dropped or rescaled, are then far more than float32's precision apart.
        random = np.random.RandomState(SEED)
        norms = [spec.name.removesuffix("/beta") for spec in specs if spec.name.endswith("/beta")]
        self.offsets = dict(zip(norms, random.uniform(1, 2, len(norms)).tolist(), strict=True))
        held = {spec.name: tf.Variable(self._value(spec.name, spec.shape)) for spec in specs}

        def run(images: Any) -> Any:
            built = network.build(config, "classification", images, lambda name, _: held[name], training=training)
            return built.end_points

        tf.random.set_seed(SEED)
        images = tf.random.stateless_uniform([EXAMPLES, config.image_size, config.image_size, 3], [1, SEED])
        self.end_points = {name: value.numpy() for name, value in tf.function(run, autograph=False)(images).items()}

    def _value(self, name: str, shape: tuple[int, ...]) -> Any:
        leaf = name.rsplit("/", 1)[1]
        if leaf == "beta":
            return np.full(shape, self.offsets[name.removesuffix("/beta")], np.float32)
        if leaf == "moving_variance":
            return np.ones(shape, np.float32)
        if name == "final_layer/FC/weights":
            return np.eye(*shape, dtype=np.float32)
        return np.zeros(shape, np.float32) if leaf in ("gamma", "moving_mean", "biases") else np.ones(shape, np.float32)

    def state(self, cell: str, state: int) -> Any:
        """A sum of two branches, state 2 to 6 of a cell, [example, height * width * channels]."""
        family = FAMILIES[self.config.family]
        end_point = {"cell_stem_1": "Stem"}.get(cell, cell.title())
        reduction = "stem" in cell or "reduction" in cell
        position = (family.reduction if reduction else family.normal).concatenated.index(state)
        value = self.end_points[end_point]
        width = value.shape[3] // len((family.reduction if reduction else family.normal).concatenated)
        return value[..., position * width : (position + 1) * width].reshape(EXAMPLES, -1)

    def branch(self, cell: str, index: int, side: str, branch: Branch) -> float:
        """The value of a branch that is kept and not rescaled."""
        scope = f"{cell}/comb_iter_{index}/{side}"
        own = [name for name in self.offsets if name.startswith(f"{scope}/")]
        if own:
            return self.offsets[own[-1]]
        # An identity, or a pooling of a constant: the value of the state that it reads.
        of_previous = [f"{cell}/prev_bn", f"{cell}/final_path_bn"]
        names = [f"{cell}/beginning_bn"] if branch.state == 0 else of_previous
        (value,) = (self.offsets[name] for name in names if name in self.offsets)
        return value


def _decode(observed: Any, left: float, right: float, rescaling: tuple[float, float]) -> Any:
    """Which of two branches each example kept: [example, 2] of 0 and 1; refuses sums that no choice explains."""
    choices = np.array(list(itertools.product((0, 1), repeat=2)))
    sums = choices @ np.array([left * rescaling[0], right * rescaling[1]])
    distance = np.abs(observed[:, None] - sums)
    assert distance.min(axis=1).max() < 1e-4, "a branch has another value than dropped, or kept and rescaled"
    assert np.abs(sums[:, None] - sums)[~np.eye(4, dtype=bool)].min() > 1e-3, "two choices look alike"
    return choices[distance.argmin(axis=1)]


def _cells(config: ModelConfig) -> Iterator[tuple[str, float]]:
    """Every cell in order with its keep probability, as architecture and schedule have them."""
    names = ["cell_stem_0", "cell_stem_1"]
    for index in range(config.num_cells):
        if config.family == "nasnet" and index in config.reductions:
            names.append(f"reduction_cell_{config.reductions.index(index)}")
        names.append(f"cell_{index}")
    total = config.num_cells + {"nasnet": 4, "pnasnet": 2}[config.family]
    assert len(names) == total
    for number, name in enumerate(names):
        yield name, 1 - (number + 1) / total * (1 - config.drop_path_keep_prob)


def _assert_probability(kept: int, trials: int, probability: float, where: str) -> None:
    allowed = DEVIATIONS * sqrt(trials * probability * (1 - probability))
    assert abs(kept - trials * probability) <= allowed, f"{where} kept {kept} of {trials}, not {probability:.3f} of it"


@pytest.fixture(scope="module", params=["nasnet", "pnasnet"])
def trained(request: pytest.FixtureRequest) -> _Constants:
    return _Constants(_config(request.param), training=True)


def _decoded_cells(constants: _Constants) -> Iterator[tuple[str, float, int, tuple[Branch, Branch], Any]]:
    """Each sum of two branches that a cell shows: cell, its keep probability, index, branches, and what was kept."""
    family = FAMILIES[constants.config.family]
    for cell, keep_prob in _cells(constants.config):
        if cell == "cell_stem_0" or "reduction" in cell or (cell == "cell_stem_1" and family.inserts_reductions):
            continue  # no end point; its own test
        kind = family.reduction if "stem" in cell else family.normal
        for index, branches in enumerate(kind.combinations):
            left, right = (
                constants.branch(cell, index, side, branch)
                for side, branch in zip(("left", "right"), branches, strict=True)
            )
            if left == right:
                continue  # both average poolings of one state: cannot be told apart
            value = constants.state(cell, index + 2)
            assert np.ptp(value, axis=1).max() < 1e-4, "a branch was dropped in a part of an example"
            rescaling = tuple(1.0 if branch.kind == "none" else 1 / keep_prob for branch in branches)
            yield cell, keep_prob, index, branches, _decode(value[:, 0], left, right, (rescaling[0], rescaling[1]))


def test_drop_path_keeps_branches_by_the_schedule_and_rescales_them(trained: _Constants) -> None:
    kept: dict[str, list[Any]] = {}
    probabilities = {}
    for cell, keep_prob, index, branches, decoded in _decoded_cells(trained):
        probabilities[cell] = keep_prob
        for side, branch in enumerate(branches):
            if branch.kind != "none":
                where = f"{cell}/comb_iter_{index}, branch {side}"
                _assert_probability(int(decoded[:, side].sum()), EXAMPLES, keep_prob, where)
                kept.setdefault(cell, []).append(decoded[:, side])
    assert len(kept) >= 3
    for cell, columns in kept.items():
        # The whole cell narrows the probability down to less than half of the step to the next cell's.
        total = int(sum(column.sum() for column in columns))
        _assert_probability(total, EXAMPLES * len(columns), probabilities[cell], cell)
        # Branches are dropped on their own: together they are all kept as often as that makes.
        together = int(np.all(columns, axis=0).sum())
        _assert_probability(together, EXAMPLES, prod([probabilities[cell]] * len(columns)), f"all of {cell}")


def test_drop_path_never_drops_what_has_no_operation(trained: _Constants) -> None:
    identities = 0
    for _, _, _, branches, decoded in _decoded_cells(trained):
        for side, branch in enumerate(branches):
            if branch.kind == "none":
                assert decoded[:, side].all()
                identities += 1
    assert identities >= 3


def test_reduction_cells_are_cells_of_the_schedule() -> None:
    """In a reduction cell, states 3 and 5 differ by an average pooling of state 2, dropped by itself."""
    constants = _Constants(_config("nasnet"), training=True)
    for cell, keep_prob in _cells(constants.config):
        if "reduction" not in cell and cell != "cell_stem_1":
            continue
        combinations = FAMILIES["nasnet"].reduction.combinations
        for index in (1, 2):
            left, right = (
                constants.branch(cell, index, side, branch)
                for side, branch in zip(("left", "right"), combinations[index], strict=True)
            )
            decoded = _decode(constants.state(cell, index + 2)[:, 0], left, right, (1 / keep_prob, 1 / keep_prob))
            _assert_probability(int(decoded.sum()), 2 * EXAMPLES, keep_prob, f"{cell}/comb_iter_{index}")
        pooled = (constants.state(cell, 5) - constants.state(cell, 3))[:, 0] * keep_prob
        left, right = (constants.branch(cell, 0, side, combinations[0][0]) for side in ("left", "right"))
        decoded = _decode(pooled, left, right, (1 / keep_prob, 1 / keep_prob))
        # Not zero where it was kept and state 2 had a branch left; negative were state 3 ever dropped.
        _assert_probability(
            int(decoded.any(axis=1).sum()), EXAMPLES, keep_prob * (1 - (1 - keep_prob) ** 2), f"{cell}/comb_iter_3"
        )


def test_dropout_before_the_classifier_and_only_there() -> None:
    features = 6 * CHANNELS * 4
    constants = _Constants(_config("nasnet", num_classes=features, drop_path_keep_prob=1.0), training=True)
    pooled, logits = constants.end_points["global_pool"], constants.end_points["Logits"]
    assert np.ptp(pooled, axis=0).max() < 1e-4, "something before the classifier is a matter of chance"
    ratio = logits / pooled
    kept = ratio > 1
    np.testing.assert_allclose(ratio, np.where(kept, 2.0, 0.0), atol=1e-4)
    _assert_probability(int(kept.sum()), kept.size, 0.5, "dropout")
    for axis in (0, 1):  # of single features, not of whole examples or of the same feature in all
        for count in kept.sum(axis=axis):
            _assert_probability(int(count), kept.shape[axis], 0.5, "dropout of one feature or example")


@pytest.mark.parametrize("family", ["nasnet", "pnasnet"])
def test_inference_drops_nothing(family: str) -> None:
    constants = _Constants(_config(family), training=False)
    for name, value in constants.end_points.items():
        assert np.ptp(value, axis=0).max() < 1e-4, name
    config = constants.config
    last = f"cell_{config.num_cells - 1}"
    for index, branches in enumerate(FAMILIES[config.family].normal.combinations):
        left, right = (
            constants.branch(last, index, side, branch)
            for side, branch in zip(("left", "right"), branches, strict=True)
        )
        np.testing.assert_allclose(constants.state(last, index + 2), left + right, atol=1e-4)


@pytest.mark.long
def test_drop_can_be_left_out_of_a_training_graph() -> None:
    """What verification relies on: a training graph with no chance in it."""
    from tests.support.networks import graph_of

    random = {}
    for drop in (True, False):
        graph = graph_of(_config("nasnet"), "classification", training=True, **({} if drop else {"uniform": None}))[0]
        scopes = [o.name for o in graph.get_operations() if o.type == "RandomUniform" and "Initializer" not in o.name]
        random[drop] = len(scopes)
    branches = sum(branch.kind != "none" for pair in FAMILIES["nasnet"].normal.combinations for branch in pair)
    reducing = sum(branch.kind != "none" for pair in FAMILIES["nasnet"].reduction.combinations for branch in pair)
    assert random == {True: 3 * branches + 4 * reducing + 1, False: 0}
