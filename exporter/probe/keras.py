"""Loads a Keras network as its users do, runs it on TensorFlow, and records the results."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from exporter.artifact import keras_archive
from exporter.artifact.jobs import TensorFacts
from exporter.artifact.keras import end_point_of, scope_of
from exporter.artifact.keras_archive import KerasFile
from exporter.artifact.keras_weights import Weights
from exporter.errors import ArtifactError, reason
from exporter.files.arrays import digest
from exporter.models.formats import TRAINING_MOMENTUM
from exporter.probe import poolings
from exporter.probe.jobs import DRAWS
from exporter.probe.keras_gradients import gradients, keep_all, names_of, normalize_in_double, penalize
from exporter.probe.observations import ProbedFile, RandomDecision, Variables
from exporter.probe.poolings import Pooling
from exporter.probe.writer import ProbeWriter
from exporter.progress import Say

_DROP_PATH = "/drop_path"
_CROPS_OR_SCALES = ("Cropping2D", "Rescaling")


def probe(
    path: Path,
    images: np.ndarray,
    found: ProbeWriter,
    previous: Mapping[Path, str | None],
    say: Say,
    scratch: Path,
) -> ProbedFile:
    """Loads and runs a Keras network; arguments are those of `exporter.probe.saved_model.probe`.

    Raises:
        ArtifactError: it is damaged, or Keras cannot run or train it with images of this size.
    """
    import keras

    file = keras_archive.read(path)
    loaded = load(file)
    try:
        names = names_of(loaded)
        digests = _digests(loaded)
        _describe(file, loaded, names, found)
        found.variables(list(names.values()), digests)
        say("running the artifact")
        _infer(loaded, images, found)
        found.digests_after_inference(_digests(loaded))
        say("training the artifact")
        penalize(loaded, names, found)
        dropping = [layer for layer in loaded.layers if isinstance(layer, keras.layers.Dropout) and layer.rate]
        acting = sum(not np.array_equal(_ones(layer), layer(_ones(layer), training=False)) for layer in dropping)
        found.random_decisions([*_decisions(dropping), *_unknown_decisions(loaded, dropping)], acting)
        keep_all(loaded)
        normalize_in_double(loaded)
        after = _train(loaded, names, images, found)
        found.training_variables(Variables(list(names.values()), digests, after))
        found.gradients(gradients(file, loaded, images.shape[1]))
    except (AttributeError, TypeError, ValueError, tf.errors.OpError) as error:
        raise ArtifactError(f"{file.path} cannot be used as a network of Keras: {reason(error)}") from error
    return ProbedFile(tuple(_problems(file)), None)


def load(file: KerasFile) -> Any:
    """The network, as ``keras.saving.load_model`` makes it; what is compiled into it is left out.

    Raises:
        ArtifactError: it does not load.
    """
    import keras

    try:
        return keras.saving.load_model(file.path, compile=False)
    except Exception as error:  # whatever its layers raise
        raise ArtifactError(f"{file.path} does not load with keras.saving.load_model: {reason(error)}") from error


def _digests(loaded: Any) -> list[str]:
    """Of the weights of each layer, in the order of `_names`."""
    return [digest(weight.value.numpy()) for layer in loaded.layers for weight in layer.weights]


def _describe(file: KerasFile, loaded: Any, names: Mapping[str, str], found: ProbeWriter) -> None:
    """What is told by the file, and by the network without running it."""
    with Weights(file) as weights:
        stored = weights.count
    stopping = [layer.name for layer in loaded.layers if not layer.trainable or type(layer).__name__ == "StopGradient"]
    found.file(stored, stopping)
    found.trainable([names[weight.path] for weight in loaded.trainable_weights])
    found.momentum_settable(True)
    said = {name: value if isinstance(value, str) else json.dumps(value) for name, value in file.metadata.items()}
    found.properties(said)
    sides = {
        "input": zip(loaded.inputs, loaded.inputs, strict=True),
        "output": zip(_last(loaded), loaded.outputs, strict=True),
    }
    found.interface(
        f"{side} {named.name} {TensorFacts(tensor.dtype, tuple(tensor.shape))}"
        for side, both in sides.items()
        for named, tensor in both
    )


def _last(loaded: Any) -> list[Any]:
    """The layers that outputs come from."""
    return [loaded.get_layer(name) for name in loaded.output_names]


def _infer(loaded: Any, images: np.ndarray, found: ProbeWriter) -> None:
    """One run for the output and all end points, and one for a single image."""
    import keras

    shown = {end_point: layer.output for layer in loaded.layers if (end_point := end_point_of(layer.name))}
    # In networks of others, feature maps that are concatenated may be end points.
    others = [layer.output for layer in loaded.layers if isinstance(layer, keras.layers.Concatenate)]
    others = [] if shown else [tensor for tensor in others if len(tensor.shape) == 4]
    model = keras.Model(loaded.input, [loaded.outputs[0], *shown.values(), *others])
    output, *values = (value.numpy() for value in tf.nest.flatten(model(tf.constant(images), training=False)))
    found.output(output)
    found.end_points(dict(zip(shown, values[: len(shown)], strict=True)))
    found.concatenations(values[len(shown) :])
    found.single_output(_call(loaded, images[:1], training=False).numpy())
    if not shown:
        found.poolings(poolings.differences(_poolings(loaded, images[:1])))


def _poolings(loaded: Any, images: np.ndarray) -> Iterator[Pooling]:
    """Its poolings, with what they pool and give; of windows as high as wide."""
    import keras

    kinds: dict[Any, Literal["average", "max"]] = {
        keras.layers.AveragePooling2D: "average",
        keras.layers.MaxPooling2D: "max",
    }
    own = [layer for layer in loaded.layers if type(layer) in kinds]
    own = [layer for layer in own if len({*layer.pool_size}) == len({*layer.strides}) == 1]
    own = [layer for layer in own if layer.data_format == "channels_last"]
    padding = {id(layer.output): layer.input for layer in loaded.layers if type(layer) is keras.layers.ZeroPadding2D}
    after = {id(layer.input): layer.output for layer in loaded.layers if type(layer).__name__ in _CROPS_OR_SCALES}
    wanted = []
    for layer in own:
        pooled = [layer.output]
        while id(pooled[-1]) in after:
            pooled.append(after[id(pooled[-1])])
        wanted.append([padding.get(id(layer.input), layer.input), *pooled])
    model = keras.Model(loaded.input, wanted)
    for layer, values in zip(own, model(tf.constant(images), training=False), strict=True):
        image, *results = (value.numpy() for value in values)
        yield Pooling(layer.name, kinds[type(layer)], layer.pool_size[0], layer.strides[0], image, results)


def _call(loaded: Any, images: np.ndarray, training: bool) -> Any:
    outputs = loaded(tf.constant(images), training=training)
    return next(iter(tf.nest.flatten(outputs)))


def _unknown_decisions(loaded: Any, known: Sequence[Any]) -> Iterator[RandomDecision]:
    """What other layers draw in training."""
    import keras

    for layer in loaded.layers:
        if layer not in known and isinstance(getattr(layer, "seed_generator", None), keras.random.SeedGenerator):
            yield RandomDecision(scope_of(layer.name), type(layer).__name__, math.nan, False)


def _noise_shape(layer: Any) -> tuple[int | None, ...]:
    """How many numbers a layer draws, None for as many as there are examples."""
    given = getattr(layer, "noise_shape", None) or [None] * len(layer.input.shape)
    return tuple(size if wanted is None else wanted for size, wanted in zip(layer.input.shape, given, strict=True))


def _ones(layer: Any) -> np.ndarray:
    """Input for a layer that makes it draw `DRAWS` numbers, or a few more."""
    shape = [size or 1 for size in _noise_shape(layer)[1:]]
    return np.ones([math.ceil(DRAWS / math.prod(shape)), *shape], np.float32)


def _decisions(layers: Iterable[Any]) -> Iterable[RandomDecision]:
    """What is decided by layers that draw, each looked at by itself."""
    known: set[bytes] = set()
    for number, layer in enumerate(layers):
        ones = _ones(layer)
        # Two steps of training, and the first step of another who loads the same file.
        runs = [_kept(layer, ones), _kept(layer, ones), _kept(type(layer).from_config(layer.get_config()), ones)]
        repeats = False
        for kept in map(np.ndarray.tobytes, runs):
            repeats |= kept in known
            known.add(kept)
        # Numbers of our own: the same artifact gets the same verdict, to the last digit, every time.
        layer.seed_generator.state.assign(np.array([number, 0], layer.seed_generator.state.dtype))
        share = float(_kept(layer, ones).ravel()[:DRAWS].mean())
        shape = str(_noise_shape(layer))
        yield RandomDecision(scope_of(layer.name).removesuffix(_DROP_PATH), shape, share, repeats)


def _kept(layer: Any, ones: np.ndarray) -> np.ndarray:
    return np.asarray(layer(ones, training=True)) != 0


def _train(loaded: Any, names: Mapping[str, str], images: np.ndarray, found: ProbeWriter) -> list[str]:
    """Trains two steps; returns the digests after them."""
    found.moving_statistics("before", _statistics(loaded, names))
    momenta = {layer: layer.momentum for layer in loaded.layers if hasattr(layer, "momentum")}
    for layer in momenta:
        layer.momentum = TRAINING_MOMENTUM
    found.training_output(_call(loaded, images, training=True).numpy())
    found.moving_statistics("after_set_momentum", _statistics(loaded, names))
    for layer, momentum in momenta.items():
        layer.momentum = momentum
    _call(loaded, images, training=True)
    found.moving_statistics("after_default_momentum", _statistics(loaded, names))
    return _digests(loaded)


def _statistics(loaded: Any, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    weights = {names[weight.path]: weight for weight in loaded.weights}
    return {name: weight.value.numpy() for name, weight in weights.items() if "/moving_" in name}


def _problems(file: KerasFile) -> list[str]:
    """What keeps readers from loading the file that have Keras alone."""
    return [
        f"layer {layer['name']} is {layer.get('registered_name') or layer['class_name']} of {layer.get('module')}"
        for layer in file.layers
        if layer.get("module") != "keras.layers" or layer.get("registered_name")
    ]
