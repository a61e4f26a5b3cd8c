"""The layer that `nasexport.keras_layer` makes. Importing this module, which imports TensorFlow, lets Keras load it.

Keras has a layer of its own for SavedModels, ``TFSMLayer``, which never passes ``training``; and that of tensorflow-hub
is one of tf_keras, which is Keras 2.
"""

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from exporter.artifact import packed, trust
from exporter.artifact.folder import require_artifact
from exporter.errors import ArtifactError, MachineError, reason
from exporter.files import temporary
from exporter.files.plain_path import plain
from exporter.models.formats import SAVED_MODEL_2

#: The file of a SavedModel that has all but the values of its variables.
_GRAPH_FILE = SAVED_MODEL_2.files[0]
#: Of a graph in the configuration of a layer, before it is unpacked; those of the largest networks have some 10 MB.
_LARGEST_GRAPH = 2**28


@keras.saving.register_keras_serializable("nasexport")
class ArtifactLayer(keras.layers.Layer):
    """An artifact of version 4 or 5 as a layer; see `nasexport.keras_layer`, which makes it.

    Its weights are the artifact's own variables. Its configuration has the artifact's graph, so that a saved network
    needs no other file.
    """

    def __init__(self, graph: str, loaded: Any = None, batch_norm_momentum: float = 0.997, **options: Any):
        """Use `of`; Keras calls this with the configuration of a layer.

        Args:
            graph: the file ``saved_model.pb``, compressed and in base 64.
            loaded: what it was loaded as; by default it is loaded without the values of its variables.
        """
        if keras.backend.backend() != "tensorflow":
            raise MachineError(
                f"Keras runs on {keras.backend.backend()}, and artifacts of the format saved_model_2 on TensorFlow "
                f"alone: set KERAS_BACKEND=tensorflow, or build one of the format keras"
            )
        # The artifact computes in float32, whatever the policy of the network around it.
        super().__init__(**{"dtype": "float32", "autocast": False, **options})
        self.supports_jit = False  # its functions assign to variables, and are compiled as TensorFlow does
        self._graph, self._momentum = graph, float(batch_norm_momentum)
        self._artifact = _without_values(graph) if loaded is None else loaded
        self._units = _units(self._artifact)
        trained = {id(variable) for variable in self._artifact.trainable_variables}
        # Keras takes lists of its variables among a layer's attributes for weights.
        self._trained = [_as_weight(each, True) for each in self._artifact.variables if id(each) in trained]
        self._averages = [_as_weight(each, False) for each in self._artifact.variables if id(each) not in trained]
        # Of one weight, it counts once in a step, however often the layer is called, and not where nothing is trained.
        self._trained[0].regularizer = _Penalty(self._artifact)
        for weight in self._trained:
            weight.trainable = self.trainable  # Keras does it where a layer becomes what it was not before
        self.built = True

    @classmethod
    def of(cls, path: Path, *, trust: bool = False, **options: Any) -> "ArtifactLayer":
        """The layer of an artifact.

        Raises:
            ArtifactError: there is none, it is of another format, does not load, or can do more than compute.
            MachineError: Keras runs on another backend than TensorFlow.
        """
        with packed.opened(path) as folder, plain(folder) as readable:
            spec = require_artifact(folder)
            if spec.files != SAVED_MODEL_2.files:
                raise ArtifactError(
                    f"{path} is a {spec.title}, expected a {SAVED_MODEL_2.title} of version 4 or 5: build one with "
                    f"the format {SAVED_MODEL_2.name}"
                )
            loaded = _loaded(readable, str(path), trusted=trust)
            content = (readable / _GRAPH_FILE).read_bytes()
        return cls(base64.b64encode(zlib.compress(content)).decode("ascii"), loaded, **options)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Logits or feature vectors of images [batch, size, size, 3] from 0 to 1."""
        if not (training and self.trainable):
            return self._artifact(inputs, training=False)
        return self._artifact(inputs, training=True, batch_norm_momentum=self._momentum)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        return input_shape[0], self._units

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype="float32")

    def save_own_variables(self, store: Any) -> None:
        for variable in self._artifact.variables:
            store[_key(variable)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Raises ValueError where a variable is missing, or has another shape: Keras tells that of other layers so."""
        wanted = {_key(variable): variable for variable in self._artifact.variables}
        missing = [name for name in wanted if name not in store]
        if missing:
            raise ValueError(f"the weights have no {missing[0]}, and lack {len(missing)} of {len(wanted)} in all")
        for name, variable in wanted.items():
            value = store[name]
            if tuple(value.shape) != tuple(variable.shape):
                raise ValueError(f"the weights have {name} {tuple(value.shape)}, expected {tuple(variable.shape)}")
            variable.assign(value)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ArtifactLayer":
        """The layer of a configuration; Keras's own method would print all of that, graph included, in an error."""
        return cls(**{name: value for name, value in config.items() if name != "dtype"})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "graph": self._graph, "batch_norm_momentum": self._momentum}


class _Penalty(keras.Regularizer):
    """The L2 terms of an artifact, which are of all its kernels."""

    def __init__(self, artifact: Any):
        self._terms = list(artifact.regularization_losses)

    def __call__(self, _weight: Any) -> Any:
        return tf.add_n([term() for term in self._terms])


def _loaded(folder: Path, name: str, *, trusted: bool, values: bool = True) -> Any:
    """The object of a SavedModel; ``name`` is that of the artifact in messages."""
    if not trusted:
        try:
            trust.require(folder)
        except ArtifactError as error:
            told = str(error).replace(str(folder / _GRAPH_FILE), name).replace(str(folder), name)
            # What was saved with a network cannot be trusted by an argument.
            raise ArtifactError(told if values else told.partition("\n")[0], status=error.status) from error
    try:
        loaded = tf.saved_model.load(
            str(folder), options=tf.saved_model.LoadOptions(experimental_skip_checkpoint=not values)
        )
    except Exception as error:  # those of TensorFlow and of protobuf
        raise ArtifactError(f"{name} does not load: {reason(error)}") from error
    needed = ("variables", "trainable_variables", "regularization_losses")
    if missing := [each for each in needed if not hasattr(loaded, each)] + ([] if callable(loaded) else ["__call__"]):
        raise ArtifactError(f"{name} has no {', '.join(missing)}: it is no artifact of version 4 or 5")
    return loaded


def _without_values(graph: str) -> Any:
    """The object of a layer's configuration; its variables have no values until weights are loaded."""
    what = "the graph in the layer's configuration"
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(graph, validate=True), _LARGEST_GRAPH)
        if not unpacker.eof:
            raise ValueError("it is too large, or cut off")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ArtifactError(f"{what} is damaged: {reason(error)}") from error
    with temporary.folder() as folder:
        (folder / _GRAPH_FILE).write_bytes(content)
        # A network that somebody else saved may hold anything.
        return _loaded(folder, what, trusted=False, values=False)


def _units(loaded: Any) -> int:
    """The length of what the artifact gives for an image."""
    (shape, *_) = (each.output_shapes for each in loaded.__call__.concrete_functions)
    return int(shape[-1])


def _as_weight(variable: Any, trainable: bool) -> Any:
    """A variable of TensorFlow as one of Keras: the same one, no copy, which would be trained in its place."""
    weight = keras.Variable(
        lambda shape, dtype: tf.zeros(shape, dtype),
        shape=variable.shape,
        dtype=variable.dtype.name,
        trainable=trainable,
        autocast=False,
        name=_key(variable),
    )
    weight._value = variable
    return weight


def _key(variable: Any) -> str:
    """A variable's name as Keras and its files of weights take it, which have a meaning for slashes."""
    return str(variable.name).partition(":")[0].replace("/", ".")
