"""One inference and one training step of a TF1 Hub module and of a TF2 SavedModel of the same network.

    python both_formats.py MODULE SAVED_MODEL FOLDER

As `hub_module`. Arrays in ``output.npz``: ``module``, ``module_trained``, ``reusable``, ``reusable_trained``.
"""

import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

v1 = tf.compat.v1


def module(path, images):
    arrays = {}
    for key, tags in (("module", None), ("module_trained", {"train"})):
        with tf.Graph().as_default():
            features = hub.Module(path, tags=tags)(tf.constant(images))
            with v1.Session() as session:
                session.run(v1.global_variables_initializer())
                arrays[key] = session.run(features)
    return arrays


def main(module_path, path, folder):
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    arrays = module(module_path, images)
    v1.enable_v2_behavior()
    obj = hub.load(path)
    arrays["reusable"] = obj(tf.constant(images)).numpy()
    arrays["reusable_trained"] = obj(tf.constant(images), training=True, batch_norm_momentum=0.9).numpy()
    np.savez(os.path.join(folder, "output.npz"), **arrays)


if __name__ == "__main__":
    v1.logging.set_verbosity(v1.logging.ERROR)
    main(*sys.argv[1:])
