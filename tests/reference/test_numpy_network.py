"""The networks in NumPy: against the record, against the TF-Slim graphs, against TensorFlow's operations one by one.

The last part makes the mistakes that ports of these networks have made, and asks `compare_end_points` where they begin.
"""

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.checkpoint import synthetic
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.models.cells import FAMILIES
from exporter.models.config import ModelConfig, model
from exporter.models.variables import variables
from exporter.reference import numpy_network
from exporter.reference.numpy_network import (
    Array,
    average_pool,
    convolution,
    depthwise,
    max_pool,
    outputs,
    same_padding,
)
from exporter.verification.differences import compare_end_points
from tests.graph.test_network import END_POINTS, STATISTICS
from tests.support import networks
from tests.support.fixtures import REDUCING, REDUCING_PNASNET
from tests.support.networks import CHECKOUT, TOLERANCE

#: Largest difference of a single operation; the operands are of unit scale.
ROUNDING = 1e-5


def _config(fields: Mapping[str, object], **changes: object) -> ModelConfig:
    return ModelConfig.from_dict({**fields, **changes})


def recorded_weights(name: str) -> dict[str, Array]:
    """The weights of the record, without TensorFlow."""
    statistics = synthetic.recorded_statistics(name)
    specs = variables(model(name), "classification")
    return {spec.name: statistics.get(spec.name, synthetic.base_value(spec)) for spec in specs}


def made_up_weights(config: ModelConfig) -> dict[str, Array]:
    """Weights for any configuration, with moving statistics of which none is like another."""
    random = np.random.default_rng(5)
    values = {spec.name: synthetic.base_value(spec) for spec in variables(config, "classification")}
    for name, value in values.items():
        if name.endswith("moving_mean"):
            values[name] = random.normal(0, 0.3, value.shape).astype(np.float32)
        if name.endswith("moving_variance"):
            values[name] = random.uniform(0.5, 3, value.shape).astype(np.float32)
    return values


def made_up_images(config: ModelConfig) -> Array:
    return VERIFICATION_IMAGES.at(config.image_size)[:2]


def graph_outputs(config: ModelConfig, values: Mapping[str, Array]) -> dict[str, Array]:
    """The end points of the TF-Slim graph."""
    import tensorflow as tf

    graph, images, built, held, _ = networks.graph_of(config, "classification")
    with tf.compat.v1.Session(graph=graph) as session:
        initializers = {held[name].initializer: values[name] for name in held}
        session.run(list(initializers), {op.inputs[1]: value for op, value in initializers.items()})
        return session.run(dict(built.end_points), {images: made_up_images(config)})


def test_importing_it_brings_no_part_of_the_graphs() -> None:
    program = (
        "import sys; import exporter.reference.numpy_network, exporter.verification.differences; print(*sys.modules)"
    )
    command = [sys.executable, "-c", program]
    loaded = set(subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout.split())
    own = {name for name in loaded if name.startswith("exporter.")}
    packages = {f"exporter.{name}" for name in ("files", "models", "reference", "verification")}
    assert own - packages == {
        "exporter.errors",
        "exporter.files.arrays",
        "exporter.files.json_values",
        "exporter.models.cells",
        "exporter.models.config",
        "exporter.models.formats",
        "exporter.problems",
        "exporter.reference.numpy_network",
        "exporter.resources",
        "exporter.terminal",
        "exporter.validation",
        "exporter.verification.differences",
    }
    assert not {name.split(".")[0] for name in loaded} & {"tensorflow", "tf_slim", "keras", "tf_keras"}


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.full) for name in ("nasnet_mobile", "pnasnet_mobile")]
)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def weights(name: str) -> dict[str, Array]:
    return recorded_weights(name)


@pytest.fixture(scope="module")
def found(name: str, weights: dict[str, Array]) -> dict[str, Array]:
    return outputs(model(name), weights, VERIFICATION_IMAGES.at(model(name).image_size))


def test_end_points_have_the_recorded_names_order_shapes_and_type(name: str, found: dict[str, Array]) -> None:
    shapes = [(end_point, [None, *value.shape[1:]]) for end_point, value in found.items()]
    assert shapes == list(END_POINTS[name].items())
    assert {(len(value), value.dtype) for value in found.values()} == {(3, np.dtype(np.float32))}


def test_end_points_equal_the_recorded_ones(name: str, found: dict[str, Array]) -> None:
    """Logits and features number by number, all others by their mean, standard deviation and largest magnitude."""
    record = networks.recorded(name)
    differences = compare_end_points(
        {end_point: record[f"{STATISTICS}{end_point}"] for end_point in found}
        | {"all features": record["end_point/global_pool"], "all logits": record["end_point/Logits"]},
        {end_point: networks.statistics(value) for end_point, value in found.items()}
        | {"all features": found["global_pool"], "all logits": found["Logits"]},
        TOLERANCE,
    )
    assert differences.first_divergent is None, differences


def test_float64_agrees_with_float32(name: str, weights: dict[str, Array], found: dict[str, Array]) -> None:
    images = VERIFICATION_IMAGES.at(model(name).image_size)[:1]
    exact = outputs(model(name), weights, images, np.float64)
    assert {value.dtype for value in exact.values()} == {np.dtype(np.float64)}
    differences = compare_end_points(exact, {end_point: value[:1] for end_point, value in found.items()}, TOLERANCE)
    assert differences.first_divergent is None, differences


#: Configurations that differ in what has to be matched, and in whether sizes and numbers of channels are odd.
CONFIGS = {
    "nasnet": _config(REDUCING),
    "pnasnet": _config(REDUCING_PNASNET),
    "nasnet, reduction's input": _config(REDUCING, skip_reduction_layer_input=False),
    "nasnet, odd": _config(
        REDUCING, image_size=75, num_conv_filters=13, stem_filters=5, num_cells=4, reductions=[1, 3]
    ),
    "pnasnet, odd": _config(
        REDUCING_PNASNET, image_size=75, num_conv_filters=13, stem_filters=5, num_cells=4, reductions=[1, 3]
    ),
    "nasnet, one pixel": _config(REDUCING, image_size=32, num_cells=5, reductions=[2, 3, 4]),
    # As many channels in the stem's convolution as in its first cell.
    "pnasnet, equal channels": _config(REDUCING_PNASNET, stem_filters=2, reductions=[]),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.long), np.float64])
def test_end_points_equal_those_of_the_graph(config: ModelConfig, dtype: Any, graphs: Callable) -> None:
    values, expected = graphs(config)
    found = outputs(config, values, made_up_images(config), dtype)
    assert list(found) == list(expected)
    differences = compare_end_points(expected, found, TOLERANCE)
    assert differences.first_divergent is None, differences


@pytest.fixture(scope="module")
def graphs() -> Callable[[ModelConfig], tuple[dict[str, Array], dict[str, Array]]]:
    """Weights of a configuration, and the graph's end points with them; each graph is run once."""
    made: dict[str, tuple[dict[str, Array], dict[str, Array]]] = {}

    def get(config: ModelConfig) -> tuple[dict[str, Array], dict[str, Array]]:
        key = str(config)
        if key not in made:
            values = made_up_weights(config)
            made[key] = values, graph_outputs(config, values)
        return made[key]

    return get


class _Asked(dict[str, Array]):
    """Variables that note which of them were read."""

    def __init__(self, values: Mapping[str, Array]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Array:
        self.names.add(name)
        return super().__getitem__(name)


@settings(max_examples=25, deadline=None)
@given(
    fields=st.sampled_from([REDUCING, REDUCING_PNASNET]),
    size=st.integers(32, 80),
    filters=st.integers(4, 14),
    stem_filters=st.integers(1, 8),
    cells=st.integers(1, 5),
    reductions=st.sets(st.integers(1, 4)),
    skip=st.booleans(),
)
def test_any_network_reads_the_variables_of_its_layout_and_no_others(
    fields: Mapping[str, object],
    size: int,
    filters: int,
    stem_filters: int,
    cells: int,
    reductions: set[int],
    skip: bool,
) -> None:
    config = _config(
        fields,
        image_size=size,
        num_conv_filters=filters,
        stem_filters=stem_filters,
        num_cells=cells,
        reductions=sorted(index for index in reductions if index < cells),
        skip_reduction_layer_input=skip,
    )
    values = _Asked(made_up_weights(config))
    found = outputs(config, values, made_up_images(config)[:1])
    assert values.names == set(values)
    assert all(np.isfinite(value).all() for value in found.values())
    assert found["Predictions"].sum() == pytest.approx(1)


def test_images_do_not_see_each_other() -> None:
    config = CONFIGS["nasnet"]
    values, images = made_up_weights(config), VERIFICATION_IMAGES.at(config.image_size)
    together, alone = outputs(config, values, images), outputs(config, values, images[1:2])
    assert {end_point: value[1:2].tolist() for end_point, value in together.items()} == {
        end_point: value.tolist() for end_point, value in alone.items()
    }


def test_a_missing_variable_is_named() -> None:
    config = CONFIGS["pnasnet"]
    values = made_up_weights(config)
    del values["cell_1/beginning_bn/gamma"]
    with pytest.raises(KeyError, match="cell_1/beginning_bn/gamma"):
        outputs(config, values, made_up_images(config))


# The operations.

_sizes = st.integers(1, 12)
_strides = st.integers(1, 3)
_kernels = st.sampled_from([1, 2, 3, 5, 7])
_channels = st.integers(1, 4)
_seeds = st.integers(0, 2**32 - 1)


def _normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _assert_close(found: Array, expected: Any, terms: int = 1) -> None:
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) <= ROUNDING * np.sqrt(terms)


@given(size=st.integers(1, 400), kernel=st.integers(1, 11), stride=st.integers(1, 4))
@example(size=42, kernel=3, stride=2)
def test_same_padding_is_the_least_that_serves_every_output_and_leans_to_the_end(
    size: int, kernel: int, stride: int
) -> None:
    before, after = same_padding(size, kernel, stride)
    assert min(before, after) >= 0
    starts = [start for start in range(-before, size, stride) if start + kernel <= size + after]
    assert len(starts) == np.ceil(size / stride)
    assert after - before in (0, 1)
    if before + after:
        assert starts[-1] + kernel == size + after  # one pixel less, and the last window would not fit


def _windows(height: int, width: int, kernel: int, stride: int) -> Iterator[tuple[int, int, int, int]]:
    """For each output (row, column) of SAME, the first row and column of the input under it, found by trying."""
    for row in range(-(-height // stride)):
        for column in range(-(-width // stride)):
            yield row, column, _start(height, kernel, stride, row), _start(width, kernel, stride, column)


def _start(size: int, kernel: int, stride: int, output: int) -> int:
    """Moves the windows up until as many pixels lie before the first as after the last, or one less."""
    last = (-(-size // stride) - 1) * stride
    before = 0
    while last - (before + 1) + kernel - size >= before + 1:
        before += 1
    return output * stride - before


@settings(deadline=None)
@given(height=_sizes, width=_sizes, kernel=_kernels, stride=_strides, channels=_channels, seed=_seeds)
def test_pools_look_at_the_pixels_that_are_there(
    height: int, width: int, kernel: int, stride: int, channels: int, seed: int
) -> None:
    # All far below zero: a padding of zeros would win every maximum at the edges, and pull up every mean.
    net = _normal(seed, 2, height, width, channels) - 10
    shape = (2, -(-height // stride), -(-width // stride), channels)
    means, largest = np.zeros(shape), np.zeros(shape)
    for row, column, top, left in _windows(height, width, kernel, stride):
        window = net[:, max(top, 0) : top + kernel, max(left, 0) : left + kernel]
        means[:, row, column], largest[:, row, column] = window.mean(axis=(1, 2)), window.max(axis=(1, 2))
    _assert_close(average_pool(net, kernel, stride), means, terms=100)
    assert np.array_equal(max_pool(net, kernel, stride), largest)


@settings(deadline=None)
@given(
    height=_sizes, width=_sizes, kernel=_kernels, stride=_strides, channels=_channels, filters=_channels, seed=_seeds
)
def test_convolutions_are_the_correlations_of_scipy(
    height: int, width: int, kernel: int, stride: int, channels: int, filters: int, seed: int
) -> None:
    # Here, since the import takes longer than that of all other tests but for TensorFlow.
    from scipy import signal

    net = _normal(seed, 1, height, width, channels)
    weights = _normal(seed + 1, kernel, kernel, channels, filters)
    rows, columns = (-_start(size, kernel, stride, 0) for size in (height, width))
    expected = np.zeros((1, -(-height // stride), -(-width // stride), filters))
    by_channel = np.zeros((*expected.shape[:3], channels))
    for channel in range(channels):
        for target, index in [(expected, index) for index in range(filters)] + [(by_channel, channel)]:
            plane = weights[:, :, channel, index if target is expected else 0].astype(np.float64)
            full = signal.correlate(net[0, :, :, channel].astype(np.float64), plane, mode="full", method="direct")
            # The full correlation begins where only the kernel's last pixel meets the input.
            valid = full[kernel - 1 - rows :: stride, kernel - 1 - columns :: stride]
            target[0, :, :, index] += valid[: target.shape[1], : target.shape[2]]
    _assert_close(convolution(net, weights, stride), expected, terms=kernel**2 * channels)
    _assert_close(depthwise(net, weights[..., :1], stride), by_channel, terms=kernel**2)
    if min(height, width) >= kernel:
        first = signal.correlate(net[0].astype(np.float64), weights[..., 0].astype(np.float64), "valid", "direct")
        found = convolution(net, weights, stride, padding="VALID")
        _assert_close(found[0, ..., 0], first[::stride, ::stride, 0], terms=kernel**2 * channels)


@settings(deadline=None, max_examples=50)
@given(
    height=_sizes, width=_sizes, kernel=_kernels, stride=_strides, channels=_channels, filters=_channels, seed=_seeds
)
def test_operations_are_those_of_tensorflow(
    height: int, width: int, kernel: int, stride: int, channels: int, filters: int, seed: int
) -> None:
    import tensorflow as tf

    net = _normal(seed, 2, height, width, channels) - 1
    weights = _normal(seed + 1, kernel, kernel, channels, filters)
    terms = kernel**2 * channels
    _assert_close(convolution(net, weights, stride), tf.nn.conv2d(net, weights, stride, "SAME"), terms)
    if min(height, width) >= kernel:
        valid = convolution(net, weights, stride, "VALID")
        _assert_close(valid, tf.nn.conv2d(net, weights, stride, "VALID"), terms)
    strides = [1, stride, stride, 1]
    by_channel = tf.nn.depthwise_conv2d(net, weights[..., :1], strides, "SAME")
    _assert_close(depthwise(net, weights[..., :1], stride), by_channel, terms)
    _assert_close(average_pool(net, kernel, stride), tf.nn.avg_pool2d(net, kernel, stride, "SAME"), terms)
    _assert_close(max_pool(net, kernel, stride), tf.nn.max_pool2d(net, kernel, stride, "SAME"))


# Wrong on purpose.

Patch = Callable[[pytest.MonkeyPatch], None]


def _epsilon_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_network, "EPSILON", 1e-5)


def _symmetric_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's ``padding=kernel // 2``; the output has the same size."""
    monkeypatch.setattr(numpy_network, "same_padding", lambda size, kernel, stride: (kernel // 2, kernel // 2))


def _pool_that_counts_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    def pool(net: Array, kernel: int, stride: int = 1) -> Array:
        weights = np.full((kernel, kernel, net.shape[3], 1), 1 / kernel**2, net.dtype)
        return depthwise(net, weights, stride)

    monkeypatch.setattr(numpy_network, "average_pool", pool)


def _max_pool_padded_with_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = numpy_network._shifted
    monkeypatch.setattr(numpy_network, "_shifted", lambda *args, fill=0.0: shifted(*args))


def _other_normal_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """NASNet-A's identity of the third combination taken from the cell's own input instead of the one before."""
    family = FAMILIES["nasnet"]
    combinations = list(family.normal.combinations)
    left, right = combinations[2]
    combinations[2] = left, dataclasses.replace(right, state=0)
    normal = dataclasses.replace(family.normal, combinations=tuple(combinations))
    monkeypatch.setitem(FAMILIES, "nasnet", dataclasses.replace(family, normal=normal))


#: Strided operations see 31 pixels in height and width, then 16 and 8, of 64; 37, 19, 10 and 5 of 75; of 67, no even
#: number.
EVEN_FROM_THE_STEM = CONFIGS["nasnet"]
EVEN_AT_THE_REDUCTION = _config(REDUCING, image_size=75)
NEVER_EVEN = _config(REDUCING, image_size=67, reductions=[2])


@pytest.mark.parametrize(
    ("mistake", "config", "first"),
    [
        (_epsilon_of_pytorch, CONFIGS["nasnet"], "Stem"),
        (_epsilon_of_pytorch, CONFIGS["pnasnet"], "Stem"),
        (_symmetric_padding, EVEN_FROM_THE_STEM, "Stem"),
        (_symmetric_padding, EVEN_AT_THE_REDUCTION, "Reduction_Cell_0"),
        (_symmetric_padding, NEVER_EVEN, None),
        (_pool_that_counts_padding, CONFIGS["nasnet"], "Stem"),
        # PNASNet-5 has no average pool.
        (_pool_that_counts_padding, CONFIGS["pnasnet"], None),
        (_max_pool_padded_with_zeros, CONFIGS["pnasnet"], "Stem"),
        (_other_normal_cell, CONFIGS["nasnet"], "Cell_0"),
        (_other_normal_cell, CONFIGS["pnasnet"], None),
    ],
)
def test_a_mistake_diverges_where_it_first_matters(
    monkeypatch: pytest.MonkeyPatch, mistake: Patch, config: ModelConfig, first: str | None
) -> None:
    values, images = made_up_weights(config), made_up_images(config)
    right = outputs(config, values, images)
    mistake(monkeypatch)
    differences = compare_end_points(right, outputs(config, values, images), TOLERANCE)
    assert differences.first_divergent == first, differences
    before = list(right)[: list(right).index(first)] if first else list(right)
    assert [differences.differences[end_point] for end_point in before] == [0.0] * len(before)


@pytest.mark.parametrize(
    ("variable", "first"),
    [
        ("cell_stem_1/path2_conv/weights", "Stem"),
        ("cell_0/final_path_bn/beta", "Cell_0"),
        ("reduction_cell_1/comb_iter_4/left/separable_3x3_2/depthwise_weights", "Reduction_Cell_1"),
        ("cell_2/1x1/weights", "Cell_2"),
        ("final_layer/FC/biases", "Logits"),
    ],
)
def test_a_wrong_variable_diverges_where_it_is_used(variable: str, first: str) -> None:
    config = CONFIGS["nasnet"]
    values, images = made_up_weights(config), made_up_images(config)
    wrong = {**values, variable: values[variable] * np.float32(1.02)}
    assert (
        compare_end_points(outputs(config, values, images), outputs(config, wrong, images), TOLERANCE).first_divergent
        == first
    )
