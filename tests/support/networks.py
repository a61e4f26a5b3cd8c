"""Runs the TF-Slim graph of a full-size network on the weights and images of the record.

Each run is a process of its own, so that the memory of a large network is given back; its arrays come through standard
output, and are kept (`tests.support.shared`). `inference` and `training` start it;
``python -m tests.support.networks inference nasnet_mobile`` is what they start.
"""

import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from exporter.checkpoint.synthetic import VERIFICATION_IMAGES, ImageSet
from exporter.models.config import TASKS, ModelConfig, Task, model
from tests.support import shared
from tests.support.command import CHECKOUT

MODELS = ("nasnet_mobile", "nasnet_large", "pnasnet_mobile", "pnasnet_large")

#: Largest difference from a recorded array, as a part of the largest magnitude in that array. It is the only tolerance
#: for outputs in these tests.
TOLERANCE = 1e-4

TRAINING_IMAGES = ImageSet(count=4, seed=31)
TRAINING_DECAY = 0.9

Arrays = Mapping[str, Any]


def difference(found: Any, expected: Any) -> float:
    """The largest difference between two arrays of the same shape, as a part of the largest magnitude expected."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def recorded(name: str) -> Arrays:
    """What was recorded of the outputs of a model, by name, or a file of the record, as ``train_nasnet_mobile``."""
    if name in MODELS:
        return _outputs_recorded()[name]
    with np.load(CHECKOUT / "tests" / "data" / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


@functools.cache
def _outputs_recorded() -> dict[str, Arrays]:
    found: dict[str, Arrays] = {}
    for path in sorted((CHECKOUT / "configs" / "references").glob("*.npz")):
        with np.load(path) as file:
            found[json.loads(str(file["facts"]))["model"]] = {key: file[key] for key in file.files}
    return found


def statistics(value: Any) -> Any:
    """Mean, standard deviation and largest magnitude: what the record holds of an end point."""
    value = np.asarray(value, np.float64)
    return np.array([value.mean(), value.std(), np.abs(value).max()])


def inference(name: str) -> Arrays:
    """``end_point/NAME`` for each end point in order, and ``facts``, JSON of what the graphs are made of."""
    return outputs_of_module("tests.support.networks", "inference", name)


def training(name: str) -> Arrays:
    """``features`` of a training step of the feature vector, and ``mv/NAME``, the moving statistics after it."""
    return outputs_of_module("tests.support.networks", "training", name)


@functools.cache
def outputs_of_module(module: str, *arguments: str) -> Arrays:
    """What a module of the tests sent with `send` in a process of its own; later runs of the same code find it."""
    source = CHECKOUT / f"{module.replace('.', '/')}.py"
    name = "-".join((source.stem, *arguments))
    return shared.kept().arrays(name, lambda: _run_module(module, *arguments), source, __file__)


def _run_module(*arguments: str) -> Arrays:
    process = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr.decode()[-4000:]
    with np.load(io.BytesIO(process.stdout)) as file:
        return {key: file[key] for key in file.files}


def send(arrays: Arrays) -> None:
    content = io.BytesIO()
    np.savez(content, **arrays)
    sys.stdout.buffer.write(content.getvalue())


def graph_of(config: ModelConfig, task: Task, **options: Any) -> tuple[Any, Any, Any, dict[str, Any], list[Any]]:
    """Builds a network in a new TF1 graph: the graph, its images, the network, its variables, and what it asked for.

    The variables are those it asked for and no others: the graph is built before anything looks at a list of them.
    """
    import tensorflow as tf

    from exporter.graph import network

    v1 = tf.compat.v1
    held: dict[str, Any] = {}
    asked = []

    def getter(name: str, shape: tuple[int, ...]) -> Any:
        asked.append((name, shape))
        assert name not in held, f"{name} is asked for twice"
        # A scope of its own: the one it is asked for in would put its name before this full one.
        with v1.variable_scope(v1.VariableScope(reuse=False), auxiliary_name_scope=False):
            # The one by default draws random numbers, in eight operations.
            zeros = v1.zeros_initializer()
            held[name] = v1.get_variable(name, shape, initializer=zeros, use_resource=True, collections=[])
        return held[name]

    graph = tf.Graph()
    with graph.as_default():
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3])
        built = network.build(config, task, images, getter, **options)
    return graph, images, built, held, asked


def _infer(config: ModelConfig) -> Arrays:
    facts: dict[str, Any] = {}
    for task in TASKS:
        graph, images, built, held, asked = graph_of(config, task)
        facts[task] = {
            "asked": asked,
            "end_points": {name: tensor.shape.as_list() for name, tensor in built.end_points.items()},
            "updates": len(built.updates),
            "operations": sorted({operation.type for operation in graph.get_operations()}),
        }
        if task == "classification":
            arrays = _run(config, graph, held, built.end_points, {images: VERIFICATION_IMAGES.at(config.image_size)})
    return {f"end_point/{name}": value for name, value in arrays.items()} | {"facts": np.array(json.dumps(facts))}


def _train(config: ModelConfig) -> Arrays:
    import tensorflow as tf

    graph, images, built, held, _ = graph_of(config, "feature_vector", training=True, momentum=TRAINING_DECAY)
    moving = {name: variable for name, variable in held.items() if "/moving_" in name}
    with graph.as_default(), tf.control_dependencies([built.output, *built.updates]):
        after = {f"mv/{name}": variable.read_value() for name, variable in moving.items()}
    feed = {images: TRAINING_IMAGES.at(config.image_size)}
    return _run(config, graph, held, {"features": built.output, **after}, feed)


def _run(config: ModelConfig, graph: Any, held: Arrays, fetches: Arrays, feed: Mapping[Any, Any]) -> Arrays:
    import tensorflow as tf

    from exporter.checkpoint.synthetic_checkpoint import weights

    values = {spec.name: value for spec, value in weights(config, 0).items()}
    # Rewriting graphs of thousands of operations takes longer than it saves in a single run.
    options = tf.compat.v1.ConfigProto()
    options.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.compat.v1.Session(graph=graph, config=options) as session:
        # One run for all: each new run of a session costs time that grows with the graph.
        initializers = {held[name].initializer: values[name] for name in held}
        session.run(list(initializers), {op.inputs[1]: value for op, value in initializers.items()})
        return session.run(dict(fetches), feed)


if __name__ == "__main__":
    send({"inference": _infer, "training": _train}[sys.argv[1]](model(sys.argv[2])))
