"""The worker job that computes reference outputs: the TF-Slim graph, run straight from the checkpoint.

It shares the graph code with the writer but nothing else: a TF1 graph and session, variables restored by a TF1 Saver
under their names in the checkpoint, no ``tf.function`` and no SavedModel.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from exporter.checkpoint.reader import Checkpoint
from exporter.checkpoint.synthetic import VERIFICATION_IMAGES
from exporter.files.arrays import digest
from exporter.graph import network
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
        by_name = {spec.name: _variable(spec) for spec in specs}
        images = v1.placeholder(tf.float32, [None, config.image_size, config.image_size, 3])
        inference = network.build(config, task, images, lambda name, _: by_name[name])
        training = network.build(
            config, task, images, lambda name, _: by_name[name], training=True, momentum=0.0, uniform=tf.ones
        )
        saver = v1.train.Saver({checkpoint.keys[name]: variable for name, variable in by_name.items()})
        statistics = {
            spec.name: by_name[spec.name] for spec in variables(config, "feature_vector") if not spec.trainable
        }
        feed = {images: VERIFICATION_IMAGES.at(config.image_size)}
        with v1.Session() as session:
            saver.restore(session, checkpoint.path)
            inferred = session.run(inference.end_points, feed)
            trained, _ = session.run([training.end_points, training.updates], feed)
            # With a momentum of zero the moving statistics are now those of the batch.
            batch = session.run(statistics)
    return named_arrays(end_points=inferred, training_end_points=trained, batch_statistics=batch)


def _variable(spec: VariableSpec) -> Any:
    # In no collection, nor in that of trainable ones: legacy layers search those for each new weight. Restored before
    # anything is read: the usual first values would be several operations more for each.
    first = v1.zeros_initializer()
    return v1.get_variable(spec.name, spec.shape, initializer=first, trainable=False, use_resource=True, collections=[])


def _facts(checkpoint: Checkpoint, config: ModelConfig) -> dict[str, Any]:
    digests = {}
    squares = {"feature": 0.0, "classifier": 0.0}
    for spec, value in checkpoint.values():
        digests[spec.name] = digest(value)
        if spec.is_kernel:
            squares[spec.role] += float(np.sum(np.square(value, dtype=np.float64)))
    losses: dict[Task, float] = {"feature_vector": squares["feature"], "classification": sum(squares.values())}
    return named_arrays(
        digests=digests,
        regularization_losses={task: config.weight_decay * loss / 2 for task, loss in losses.items()},
    )
