"""Uses a TF1 Hub module as TensorFlow 2 users do, with ``hub.load`` and ``hub.KerasLayer``.

    python hub_module_v2.py ARTIFACT FOLDER [SIGNATURE...]

As `hub_module`, with ``load/SIGNATURE/OUTPUT`` and ``keras/SIGNATURE`` in ``output.npz``; of all signatures, and with
the graph for training, if none is named.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub


def main(path, folder, *names):
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    arrays = {}
    loaded = hub.load(path, tags=[])
    for name in names or loaded.signatures:
        function = loaded.signatures[name]
        inputs = {"images": tf.constant(images)}
        if "batch_norm_momentum" in function.structured_input_signature[1]:
            inputs["batch_norm_momentum"] = tf.constant(0.75)
        for key, value in function(**inputs).items():
            arrays["load/%s/%s" % (name, key)] = value.numpy()
    for name in names or loaded.signatures:
        if not name.endswith("_with_bn_hparams"):
            layer = hub.KerasLayer(path, signature=name, output_key="default", tags=[])
            arrays["keras/" + name] = np.asarray(layer(tf.constant(images)))
    facts = {
        "versions": {"tensorflow": tf.__version__, "hub": hub.__version__},
        "variables": len(loaded.variables),
    }
    if not names:
        facts["train_signatures"] = sorted(hub.load(path, tags=["train"]).signatures)
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
