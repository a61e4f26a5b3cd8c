"""The worker job that computes reference outputs: the TF-Slim graph, run straight from the checkpoint.

It shares the graph code with the writer but nothing else: a TF1 graph and session, variables restored by TensorFlow
itself under their names in the checkpoint, no ``tf.function`` and no SavedModel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.checkpoint.reader import Checkpoint
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.files.arrays import digest
from exporter.graph import layers, network, unoptimized
from exporter.models.config import ModelConfig, Task
from exporter.models.variables import VariableSpec, variables
from exporter.progress import Say
from exporter.reference.jobs import ReferenceRequest, ReferenceResult
from exporter.reference.result import named_arrays, write

v1 = tf.compat.v1


def reference(request: ReferenceRequest, say: Say) -> ReferenceResult:
    """The job `exporter.reference.jobs.REFERENCE`: writes what an artifact must reproduce.

    `exporter.reference.result.Reference` reads that folder, and says what is in it. With the task "classification", all
    that a feature vector needs is there too.
    """
    config, task = request.config, request.task
    specs = variables(config, task)
    say("computing the reference")
    checkpoint = Checkpoint(request.prefix, config, specs)
    write(request.output, _outputs(checkpoint, config, task, specs) | _facts(checkpoint, config))
    return ReferenceResult(checkpoint.synthetic, tf.__version__)


def _outputs(checkpoint: Checkpoint, config: ModelConfig, task: Task, specs: list[VariableSpec]) -> dict[str, Any]:
    with tf.Graph().as_default():
        held = {spec.name: Variable.declared(spec) for spec in specs}
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3])
        inference = network.build(config, task, images, lambda name, _: held[name])
        training = network.build(
            config, task, images, lambda name, _: held[name], training=True, momentum=0.0, uniform=tf.ones
        )
        moving = [spec.name for spec in variables(config, "feature_vector") if not spec.trainable]
        statistics = {name: layers.read(held[name], name) for name in moving}
        feed = {images: VERIFICATION_IMAGES.at(config.image_size)}
        restoring = restored(checkpoint, held)
        with v1.Session() as session:
            session.run(restoring)
            inferred = session.run(inference.end_points, feed)
        # As the training of artifacts runs.
        with v1.Session(config=unoptimized.CONFIG) as session:
            session.run(restoring)
            trained, _ = session.run([training.end_points, training.updates], feed)
            # With a momentum of zero the moving statistics are now those of the batch.
            batch = session.run(statistics)
    return named_arrays(end_points=inferred, training_end_points=trained, batch_statistics=batch)


@dataclass(frozen=True)
class Variable:
    """A variable of the graph: networks use nothing of it but its handle. TensorFlow's class adds operations to each
    that nobody here runs, and takes as long as the networks do.
    """

    handle: Any

    @classmethod
    def declared(cls, spec: VariableSpec) -> "Variable":
        return cls(tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=spec.shape, shared_name=spec.name, name=spec.name))


def restored(checkpoint: Checkpoint, held: Mapping[str, Variable]) -> list[Any]:
    """The operations that give each variable its value in the checkpoint."""
    values = tf.raw_ops.RestoreV2(
        prefix=checkpoint.path,
        tensor_names=[checkpoint.keys[name] for name in held],
        shape_and_slices=[""] * len(held),
        dtypes=[tf.float32] * len(held),
    )
    return [
        tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
        for variable, value in zip(held.values(), values, strict=True)
    ]


def _facts(checkpoint: Checkpoint, config: ModelConfig) -> dict[str, Any]:
    digests = {}
    squares = {"feature": 0.0, "classifier": 0.0}
    for spec, value in checkpoint.values():
        digests[spec.name] = digest(value)
        if spec.is_kernel:
            # Without a copy in that precision.
            squares[spec.role] += float(np.einsum("i,i->", value.ravel(), value.ravel(), dtype=np.float64))
    losses: dict[Task, float] = {"feature_vector": squares["feature"], "classification": sum(squares.values())}
    return named_arrays(
        digests=digests,
        regularization_losses={task: config.weight_decay * loss / 2 for task, loss in losses.items()},
    )
