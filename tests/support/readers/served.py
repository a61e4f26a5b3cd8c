"""Loads models by their addresses, as programs do that were written for the hub.

    python served.py FOLDER HANDLE...

FOLDER holds ``input.npz`` with ``images``. The outputs go to ``output.npz`` beside it, each under its way of loading
and the number of its handle; versions, and the files where each handle leads to, to standard output as JSON. Handles of
versions 1 to 3 are loaded with ``hub.Module`` where tensorflow-hub has it.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

v1 = tf.compat.v1


def module(handle, images):
    spec = hub.load_module_spec(handle)
    with tf.Graph().as_default():
        output = hub.Module(spec)(images)
        by_handle = hub.Module(handle)(images)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            return session.run({"module_spec": output, "module": by_handle})


def loaded(handle, images):
    model = hub.load(handle)
    values = {"layer": hub.KerasLayer(handle)(tf.constant(images))}
    values["load"] = model(tf.constant(images)) if callable(model) else values["layer"]
    return {way: value.numpy() for way, value in values.items()}


def main(folder, handles):
    v1.enable_v2_behavior()
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    arrays = {}
    for number, handle in enumerate(handles):
        version = int(handle.replace(".tar.gz", "").rstrip("/").rsplit("/", 1)[1])
        read = module if version < 4 and hasattr(hub, "Module") else loaded
        for way, value in read(handle, images).items():
            arrays["%s/%d" % (way, number)] = value
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    resolved = [sorted(os.listdir(hub.resolve(handle))) for handle in handles]
    print(json.dumps({"tensorflow": tf.__version__, "hub": hub.__version__, "resolved": resolved}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
