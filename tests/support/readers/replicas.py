"""Fine-tunes a feature vector on two replicas, which are two logical processors, under TensorFlow 1.15 and newer ones.

    python replicas.py ARTIFACT FOLDER

FOLDER holds ``input.npz`` with ``images``, an even number of them: each replica gets one half. Arrays go to
``output.npz`` beside it, facts to standard output as JSON. It judges nothing: the tests do.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

MOMENTUM = 0.75


def keras_of_hub():
    """The Keras that hub.KerasLayer is made for: tf_keras where Keras 3 has taken tf.keras's place."""
    if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 16):
        return tf.keras
    import tf_keras

    return tf_keras


def two_processors():
    config = tf.config.experimental
    (processor,) = config.list_physical_devices("CPU")
    config.set_virtual_device_configuration(processor, [config.VirtualDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def moving(variables):
    return [variable for variable in variables if "/moving_" in variable.name]


def alone(path, halves):
    """The moving averages after one step without replicas, for each half of the images."""
    arrays = {}
    for number, images in enumerate(halves):
        obj = hub.load(path)
        arrays.update(("before/" + v.name, v.numpy()) for v in moving(obj.variables))
        obj(tf.constant(images), training=True, batch_norm_momentum=MOMENTUM)
        arrays.update(("alone/%d/%s" % (number, v.name), v.numpy()) for v in moving(obj.variables))
    return arrays


def main(path, folder):
    tf.compat.v1.enable_v2_behavior()
    strategy = two_processors()
    keras = keras_of_hub()
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    arrays = alone(path, np.split(images, 2))

    with strategy.scope():
        layer = hub.KerasLayer(path, trainable=True, arguments=dict(batch_norm_momentum=MOMENTUM))
        model = keras.Sequential([keras.layers.InputLayer(images.shape[1:]), layer, keras.layers.Dense(2)])
        model.compile(
            optimizer=keras.optimizers.SGD(0.001),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum"),
        )
    variables = layer.resolved_object.variables
    trained = {v.name: v.numpy() for v in layer.trainable_weights}
    # One step, of which each replica gets one half.
    labels = np.arange(len(images)) % 2
    model.fit(images, labels, batch_size=len(images), epochs=1, shuffle=False, verbose=0)

    unequal = []
    for variable in variables:
        own = [value.numpy() for value in strategy.experimental_local_results(variable)]
        if not np.array_equal(*own):
            unequal.append(variable.name)
    for variable in moving(variables):
        own = [value.numpy() for value in strategy.experimental_local_results(variable)]
        arrays.update(("replica/%d/%s" % (number, variable.name), value) for number, value in enumerate(own))
        # TensorFlow 1.15 reads the first replica's, unless it is within the strategy.
        with strategy.scope():
            arrays["read/" + variable.name] = tf.convert_to_tensor(variable).numpy()
    model.save_weights(os.path.join(folder, "weights"))
    saved = tf.train.load_checkpoint(os.path.join(folder, "weights"))
    keys = [key for key in saved.get_variable_to_shape_map() if "conv0_bn" in key and "moving_mean" in key]
    arrays.update(("saved/" + key, saved.get_tensor(key)) for key in keys)
    facts = {
        "tensorflow": tf.__version__,
        "replicas": strategy.num_replicas_in_sync,
        "moving": len(moving(variables)),
        "unequal": sorted(unequal),
        "trained": len(trained),
        "trained_that_moved": sum(not np.array_equal(trained[v.name], v.numpy()) for v in layer.trainable_weights),
    }
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
