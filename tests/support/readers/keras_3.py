"""Puts an artifact into a Keras 3 model with ``TFSMLayer``.

    python keras_3.py ARTIFACT FOLDER

FOLDER holds ``input.npz`` with ``images``; the model's output goes to ``output.npz`` beside it.
"""

import json
import os
import sys

import keras
import numpy as np


def main(path, folder):
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    layer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
    inputs = keras.Input(images.shape[1:])
    outputs = layer(inputs)
    model = keras.Model(inputs, outputs)
    arrays = {key: np.asarray(value) for key, value in model.predict(images, verbose=0).items()}
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    print(json.dumps({"keras": keras.__version__, "outputs": sorted(arrays)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
