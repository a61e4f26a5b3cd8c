"""Uses a feature vector in a graph and session, as programs for TensorFlow 1 do, without TF2 behaviour.

    python graph_mode.py ARTIFACT FOLDER

FOLDER holds ``input.npz`` with ``images``. Arrays go to ``output.npz`` beside it, facts to standard output as JSON.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

v1 = tf.compat.v1
MOMENTUM = 0.75
STEPS = 5


def placeholder(images):
    return v1.placeholder(tf.float32, [None] + list(images.shape[1:]))


def loaded(path, images):
    """``hub.load``: inference, then fine-tuning of what it returns."""
    with tf.Graph().as_default():
        obj = hub.load(path)
        fed = placeholder(images)
        inferred = obj(fed)
        trained = obj(fed, training=True, batch_norm_momentum=MOMENTUM)
        loss = tf.reduce_mean(tf.square(trained))
        # Restored variables are in no collection of trainable ones: an optimizer must be told.
        step = v1.train.GradientDescentOptimizer(0.01).minimize(loss, var_list=obj.trainable_variables)
        statistic = next(v for v in obj.variables if v.name.startswith("conv0_bn/moving_mean"))
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            arrays = {"load": session.run(inferred, {fed: images}), "before": session.run(statistic)}
            losses = [float(session.run([loss, step], {fed: images})[0])]
            arrays["after_one_step"] = session.run(statistic)
            losses += [float(session.run([loss, step], {fed: images})[0]) for _ in range(STEPS - 1)]
    return arrays, losses


def layer(path, images):
    """``hub.KerasLayer``: inference."""
    with tf.Graph().as_default():
        fed = placeholder(images)
        output = hub.KerasLayer(path)(fed)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            return session.run(output, {fed: images})


def main(path, folder):
    v1.disable_v2_behavior()
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    arrays, losses = loaded(path, images)
    arrays["layer"] = layer(path, images)
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    print(json.dumps({"tensorflow": tf.__version__, "loss": losses}))


if __name__ == "__main__":
    main(*sys.argv[1:])
