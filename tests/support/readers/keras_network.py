"""Loads a network of Keras on the backend that ``KERAS_BACKEND`` names, runs it and, where asked to, trains a step.

    python keras_network.py ARTIFACT FOLDER [train]

FOLDER holds ``input.npz`` with ``images``. Outputs go to ``output.npz`` beside it: ``output``, ``single`` for the first
image alone, ``again`` of the network that was saved and loaded once more, ``loss`` with the sum of penalties, and
``dropped/NAME`` with what each layer that drops makes of ones. Facts go to standard output as JSON.
"""

import json
import os
import sys

import keras
import numpy as np


def compile_quickly(yes):
    """Whether JAX compiles without most of its optimizations; it does so more than twice as fast."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_disable_most_optimizations", yes)


def do_without_onednn():
    """PyTorch's oneDNN writes past its memory, as TensorFlow's does, in the same gradient of few channels."""
    if keras.backend.backend() == "torch":
        import torch

        torch.backends.mkldnn.set_flags(False)


def weights_of(model):
    return {weight.path: np.array(keras.ops.convert_to_numpy(weight)) for weight in model.weights}


def train(model, images):
    """The loss of a step, and the names of the weights that it leaves as they are."""
    before = weights_of(model)
    labels = np.arange(len(images)) % model.output_shape[1]
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loss = model.fit(images, labels, verbose=0).history["loss"][0]
    same = [name for name, value in weights_of(model).items() if np.array_equal(value, before[name])]
    return {"loss": float(loss), "unmoved": same}


def main(path, folder, *what):
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        do_without_onednn()
    # Initializers, whose values nothing is left of.
    compile_quickly(True)
    model = keras.saving.load_model(os.path.join(path, "model.keras"))
    compile_quickly(False)
    arrays = {"output": model.predict_on_batch(images), "single": model.predict_on_batch(images[:1])}
    arrays["loss"] = keras.ops.convert_to_numpy(sum(model.losses))
    saved = os.path.join(folder, "saved.keras")
    model.save(saved)
    again = keras.saving.load_model(saved)
    arrays["again"] = again.predict_on_batch(images)
    compile_quickly(True)
    for layer in again.layers:
        if isinstance(layer, keras.layers.Dropout):
            ones = np.ones((4000, 2, 2, 3) if len(layer.input.shape) == 4 else (40, 100), "float32")
            arrays["dropped/" + layer.name] = keras.ops.convert_to_numpy(layer(ones, training=True))
    trained = train(model, images) if "train" in what else {}
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    facts = {
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "others": sorted({"exporter", "tensorflow", "torch", "jax"} & set(sys.modules)),
        "weights": len(model.weights),
        "outputs": model.output_names,
        **trained,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
