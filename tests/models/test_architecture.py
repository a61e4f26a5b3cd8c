"""The walk over the table of cells, against the list of variables that the inventories hold."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.models import architecture
from exporter.models.architecture import FeatureMap, same_padding
from exporter.models.config import TASKS, ModelConfig, Task, model
from exporter.models.variables import end_points, main_end_point, variables
from tests.support.configs import configs
from tests.support.networks import MODELS


class _Asked:
    """Operations that only write down which variables they would have; a tensor is its shape."""

    def __init__(self) -> None:
        self.variables: list[tuple[str, tuple[int, ...]]] = []
        self.kept: list[float] = []
        self._scopes: list[str] = []

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def _ask(self, name: str, *shape: int) -> None:
        self.variables.append(("/".join((*self._scopes, name)), shape))

    def images(self) -> str:
        return "images"

    def relu(self, net: str) -> str:
        return net

    def convolution(
        self, net: FeatureMap[str], filters: int, kernel: int, stride: int, padding: str, scope: str
    ) -> str:
        self._ask(f"{scope}/weights", kernel, kernel, net.channels, filters)
        return scope

    def separable_convolution(self, net: FeatureMap[str], filters: int, kernel: int, stride: int, scope: str) -> str:
        self._ask(f"{scope}/depthwise_weights", kernel, kernel, net.channels, 1)
        self._ask(f"{scope}/pointwise_weights", 1, 1, net.channels, filters)
        return scope

    def batch_norm(self, net: FeatureMap[str], scope: str) -> str:
        for leaf in ("gamma", "beta", "moving_mean", "moving_variance"):
            self._ask(f"{scope}/{leaf}", net.channels)
        return scope

    def pool(self, kind: str, net: FeatureMap[str], kernel: int, stride: int) -> str:
        return kind

    def factorized_reduction(self, net: FeatureMap[str], filters: int) -> str:
        self._ask("path1_conv/weights", 1, 1, net.channels, filters // 2)
        self._ask("path2_conv/weights", 1, 1, net.channels, filters - filters // 2)
        return "paths"

    def add(self, left: str, right: str) -> str:
        return "sum"

    def concatenate(self, states: Sequence[FeatureMap[str]]) -> str:
        assert len({state.size for state in states}) == 1
        return "cell"

    def drop_path(self, net: str, keep_prob: float) -> str:
        self.kept.append(keep_prob)
        return net

    def global_pool(self, net: FeatureMap[str]) -> str:
        return "features"

    def dropout(self, features: str, keep_prob: float) -> str:
        return features

    def fully_connected(self, features: str, inputs: int, outputs: int, scope: str) -> str:
        self._ask(f"{scope}/weights", inputs, outputs)
        self._ask(f"{scope}/biases", outputs)
        return "logits"

    def softmax(self, logits: str) -> str:
        return "predictions"


def _agrees(config: ModelConfig, task: Task) -> None:
    asked = _Asked()
    built: dict[str, Any] = architecture.build(config, task, asked)
    assert asked.variables == [(spec.name, spec.shape) for spec in variables(config, task)]
    names = end_points(config)
    assert list(built) == names[: names.index(main_end_point(task)) + (2 if task == "classification" else 1)]
    # Drop path grows more likely with depth.
    assert asked.kept == sorted(asked.kept, reverse=True)
    assert asked.kept[-1] >= config.drop_path_keep_prob or asked.kept[-1] == pytest.approx(config.drop_path_keep_prob)
    if len(config.reductions) == 2 or config.family == "pnasnet":
        # The schedule of the published networks ends at what the configuration says of the last cell.
        assert asked.kept[-1] == pytest.approx(config.drop_path_keep_prob)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MODELS)
def test_asks_for_the_variables_of_the_published_networks(name: str, task: Task) -> None:
    _agrees(model(name), task)


@given(configs(), st.sampled_from(TASKS))
def test_asks_for_the_variables_of_any_network(config: ModelConfig, task: Task) -> None:
    _agrees(config, task)


@given(st.integers(1, 400), st.integers(1, 9), st.integers(1, 3))
def test_same_padding_covers_every_pixel(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert 0 <= after - before <= 1
    windows = (size + before + after - kernel) // stride + 1
    assert windows == -(-size // stride) or kernel > size + before + after
    if kernel >= stride:
        assert (windows - 1) * stride + kernel == size + before + after or before == after == 0
