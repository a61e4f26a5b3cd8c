"""Writes the TF2 SavedModel of a network (versions 4 and 5).

TensorFlow traces the functions; everything else is written here. `tf.saved_model.save` would also trace two functions
that save and restore variables: they have more operations than a network for inference, and every reader loads them.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

from exporter.artifact import saved_model_files, session_graph
from exporter.artifact.features import of_network, of_signature
from exporter.artifact.objects import Objects, Trace
from exporter.artifact.options import ArtifactOptions
from exporter.graph import compatibility, layers, network, nodes
from exporter.graph.canonical import canonicalize
from exporter.graph.downgrade import downgrade
from exporter.models.config import ModelConfig, Task, handle
from exporter.models.formats import SAVED_MODEL_2
from exporter.models.signatures import SERVING_INPUT, SERVING_OUTPUTS
from exporter.models.variables import VariableSpec, features, variables

#: The key in the file of variables of the table that says which variable belongs to which object.
_OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SIGNATURE = "serving_default"
#: The operation that gives the features.
_POOL = "global_pool"


@dataclass(frozen=True)
class _Traces:
    """All functions that an artifact may have; ``serving`` calls ``inference``."""

    inference: Trace
    training: Trace
    regularization_loss: Trace
    serving: Trace


class Writer:
    """Writes the versions of one task of a network, whose functions are traced once.

    A reader calls the object as ``obj(images, training=False, batch_norm_momentum=momentum)`` with float32 images
    [batch, size, size, 3] in [0, 1], and finds ``variables``, ``trainable_variables`` and ``regularization_losses``.
    """

    def __init__(self, config: ModelConfig, task: Task, values: Mapping[str, Any]):
        """``values`` are float32 tensors by checkpoint name; those that the task does not use are left out."""
        self._config, self._task, self._values = config, task, values
        self._specs = variables(config, task)
        self._traces: _Traces | None = None
        self._classifier: _Traces | None = None

    def for_task(self, task: Task) -> "Writer":
        """A writer of that task, which traces nothing again."""
        other = Writer(self._config, task, self._values)
        other._classifier = self._classifier
        return other

    def write(self, version: int, folder: Path, options: ArtifactOptions) -> None:
        """Writes a reusable SavedModel into ``folder``, which must not exist.

        Raises:
            CompatibilityError: the file would not load in the oldest reader promised.
        """
        momentum = options.batch_norm_momentum
        assert momentum is not None  # as the format's row says
        self._classifier = self._classifier or traced(self._config, "classification")
        self._traces = self._traces or _of_task(self._config, self._task, self._classifier)
        serving = self._traces.serving if SAVED_MODEL_2.version(version).serving else None
        objects = _objects(self._specs, self._traces, serving, momentum)
        saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
        saved_model.meta_graphs.append(_meta_graph(self._specs, self._traces, serving, objects))
        downgrade(saved_model)
        canonicalize(saved_model, handle(self._config, self._task, version))
        compatibility.require(saved_model)
        graph = saved_model.SerializeToString(deterministic=True)
        saved_model_files.write(folder, graph, _stored(objects, self._values))


def _of_task(config: ModelConfig, task: Task, whole: _Traces) -> _Traces:
    """The functions of a task, made from those of the classifier."""
    if task == "classification":
        return whole
    specs = variables(config, task)
    names, size = {spec.name for spec in specs}, features(config)

    def cut(trace: Trace) -> Trace:
        return of_network(trace, _POOL, size, [name for name in trace.captured if name in names])

    inference = cut(whole.inference)
    serving = of_signature(whole.serving, inference, SERVING_OUTPUTS["feature_vector"])
    return _Traces(inference, cut(whole.training), _Tracer(specs).regularization_loss(config), serving)


def traced(config: ModelConfig, task: Task) -> _Traces:
    """The functions of a task, each traced by TensorFlow."""
    tracer = _Tracer(variables(config, task))

    def call(images, training, batch_norm_momentum):
        held = tracer.held
        built = network.build(
            config, task, images, lambda name, _: held[name], training=training, momentum=batch_norm_momentum
        )
        return built.output

    scalar = tf.TensorSpec([], tf.float32, name="batch_norm_momentum")
    inference, inference_trace = tracer.trace(call, _images(config, "images"), False, scalar)

    def serve(**inputs):
        return {SERVING_OUTPUTS[task]: inference(inputs[SERVING_INPUT], tf.constant(0.0))}

    return _Traces(
        inference_trace,
        tracer.trace(call, _images(config, "images"), True, scalar)[1],
        tracer.regularization_loss(config),
        tracer.trace(serve, **{SERVING_INPUT: _images(config, SERVING_INPUT)})[1],
    )


class _Tracer:
    """Traces functions of variables; ``held`` has these by name, without values: tracing needs their handles only."""

    def __init__(self, specs: Sequence[VariableSpec]):
        self._specs = specs
        self.held = {
            spec.name: UninitializedVariable(
                shape=spec.shape, dtype=tf.float32, name=spec.name, trainable=spec.trainable, shared_name=spec.name
            )
            for spec in specs
        }
        self._names = {id(variable.handle): name for name, variable in self.held.items()}

    def trace(self, function: Any, *positional: Any, **named: Any) -> tuple[Any, Trace]:
        concrete = tf.function(function, autograph=False).get_concrete_function(*positional, **named)
        captured = tuple(self._names[id(tensor)] for tensor in concrete.captured_inputs)
        definition = _definition(concrete, [self.held[name].shape.as_list() for name in captured])
        outputs = tf.nest.map_structure(
            lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), concrete.structured_outputs
        )
        return concrete, Trace(definition, captured, (positional, named), outputs)

    def regularization_loss(self, config: ModelConfig) -> Trace:
        kernels = [self.held[spec.name] for spec in self._specs if spec.is_kernel]

        def regularization_loss():
            return layers.regularization_loss(kernels, config.weight_decay)

        return self.trace(regularization_loss)[1]


def _images(config: ModelConfig, name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None, config.image_size, config.image_size, 3], tf.float32, name=name)


def _definition(concrete: Any, captured: Sequence[Sequence[int]]) -> Any:
    """The function with the shapes of its ``captured`` variables, from which readers infer all other shapes."""
    definition = type(concrete.function_def)()
    definition.CopyFrom(concrete.function_def)
    arguments = definition.signature.input_arg
    shapes = dict(
        zip([argument.name for argument in arguments[len(arguments) - len(captured) :]], captured, strict=True)
    )
    for node in definition.node_def:
        if node.op == "ReadVariableOp":
            node.attr["_output_shapes"].list.shape.append(nodes.shape(shapes[node.input[0]]).shape)
    return definition


def _objects(specs: Sequence[VariableSpec], traces: _Traces, serving: Trace | None, momentum: float) -> Objects:
    objects = Objects()
    numbers = {spec.name: objects.variable(spec) for spec in specs}
    objects.listed("variables", list(numbers.values()))
    objects.listed("trainable_variables", [numbers[spec.name] for spec in specs if spec.trainable])
    loss = objects.function([traces.regularization_loss], inspect.FullArgSpec([], None, None, None, [], None, {}), ())
    objects.listed("regularization_losses", [loss])
    # A number for the momentum is converted by every reader to the scalar that the traces take.
    arguments = ["images", "training", "batch_norm_momentum"]
    call = inspect.FullArgSpec(arguments, None, None, (False, momentum), [], None, {})
    objects.attach("__call__", objects.function([traces.inference, traces.training], call))
    objects.mapped("signatures", {_SIGNATURE: objects.signature(serving)} if serving else {})
    return objects


def _stored(objects: Objects, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the file of variables has, by key."""
    found = {key: values[name] for name, key in objects.keys().items()}
    found[_OBJECT_GRAPH_KEY] = tf.constant(objects.trackable().SerializeToString(deterministic=True))
    return found


def _meta_graph(
    specs: Sequence[VariableSpec], traces: _Traces, serving: Trace | None, objects: Objects
) -> meta_graph_pb2.MetaGraphDef:
    meta_graph = meta_graph_pb2.MetaGraphDef(object_graph_def=objects.saved)
    meta_graph.meta_info_def.tags.append(tf.saved_model.SERVING)
    meta_graph.meta_info_def.tensorflow_version = tf.version.VERSION
    meta_graph.meta_info_def.tensorflow_git_version = tf.version.GIT_VERSION
    meta_graph.graph_def.versions.producer = tf.version.GRAPH_DEF_VERSION
    functions = [traces.inference, traces.training, traces.regularization_loss, *([serving] if serving else [])]
    meta_graph.graph_def.library.function.extend(trace.definition for trace in functions)
    session_graph.add(meta_graph, specs, objects.keys(), {_SIGNATURE: serving} if serving else {})
    return meta_graph
