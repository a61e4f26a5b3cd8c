"""Fine-tunes a feature vector through ``hub.KerasLayer``, under TensorFlow 1.15 and every newer one.

    python fine_tuning.py ARTIFACT FOLDER

FOLDER holds ``input.npz`` with ``images``. Facts go to standard output as JSON.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

STEPS = 8
MOMENTUM = 0.997


def keras_of_hub():
    """The Keras that hub.KerasLayer is made for: tf_keras where Keras 3 has taken tf.keras's place."""
    if tf.__version__.startswith("1."):
        return tf.keras
    import tf_keras

    return tf_keras


def moving(layer):
    return {v.name: v.numpy() for v in layer.resolved_object.variables if "/moving_" in v.name}


def first_kernels(keras, layer):
    """A callback that keeps the kernel of the first convolution as each step finds it."""
    (kernel,) = [v for v in layer.resolved_object.variables if v.name == "conv0/weights:0"]
    found = []
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: found.append(kernel.numpy().tolist()))
    return callback, found


def main(path, folder):
    tf.compat.v1.enable_v2_behavior()
    keras = keras_of_hub()
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    labels = np.arange(len(images)) % 2
    tf.compat.v1.set_random_seed(1)

    layer = hub.KerasLayer(path, trainable=True, arguments=dict(batch_norm_momentum=MOMENTUM))
    frozen = hub.KerasLayer(path)
    model = keras.Sequential([keras.layers.InputLayer(images.shape[1:]), layer, keras.layers.Dense(2)])
    losses_of_layer = len(layer.losses)
    weights = {v.name: v.numpy() for v in layer.trainable_weights}
    before = moving(layer)
    inferred = layer(tf.constant(images), training=False).numpy()
    unmoved = moving(layer)
    model.compile(
        optimizer=keras.optimizers.SGD(0.001),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    callback, kernels = first_kernels(keras, layer)
    # Without shuffling and in one batch, each step's loss is that of all images.
    history = model.fit(
        images, labels, batch_size=len(images), epochs=STEPS, shuffle=False, verbose=0, callbacks=[callback]
    )
    after = moving(layer)
    predicted = model.predict(images)

    saved = os.path.join(folder, "saved")
    model.save(saved, save_format="tf")
    again = keras.models.load_model(saved, custom_objects={"KerasLayer": hub.KerasLayer})
    loaded = tf.compat.v2.saved_model.load(saved)
    facts = {
        "loss": [float(value) for value in history.history["loss"]],
        "losses_of_layer": losses_of_layer,
        "regularization_loss": float(layer.resolved_object.regularization_losses[0]()),
        "trainable_weights": len(weights),
        "weights_that_moved": sum(not np.array_equal(weights[v.name], v.numpy()) for v in layer.trainable_weights),
        "frozen_trainable_weights": len(frozen.trainable_weights),
        "frozen_same_output": float(np.abs(frozen(tf.constant(images)).numpy() - inferred).max()),
        "statistics": len(before),
        "moved_by_inference": sum(not np.array_equal(before[name], unmoved[name]) for name in before),
        "moved_by_fine_tuning": sum(not np.array_equal(before[name], after[name]) for name in before),
        "largest_output": float(np.abs(predicted).max()),
        "difference_after_saving": float(np.abs(again.predict(images) - predicted).max()),
        "signatures_after_saving": sorted(loaded.signatures),
        "variables_after_saving": len(again.get_layer(index=0).weights),
    }
    name = "conv0_bn/moving_mean:0"
    facts["statistic_before"] = before[name].tolist()
    facts["statistic_after"] = after[name].tolist()
    facts["kernel_at_each_step"] = kernels
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
