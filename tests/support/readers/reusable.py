"""Uses an artifact in every way that its page promises, under TensorFlow 1.15 and every newer one.

    python reusable.py ARTIFACT FOLDER persistent|plain

FOLDER holds ``input.npz`` with ``images``, five of them. Gradients come from such a tape, twice from a persistent one.
Arrays go to ``output.npz`` beside it, facts to standard output as JSON. It judges nothing: the tests do.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

#: Momenta that are passed, each in another way. Together with none at all.
MOMENTA = {
    "int_0": lambda: 0,
    "int_1": lambda: 1,
    "float": lambda: 0.75,
    "tensor": lambda: tf.constant(0.9),
}


def snapshot(variables):
    return {name: variable.numpy() for name, variable in variables.items()}


def changed(before, after):
    return sorted(name for name in before if not np.array_equal(before[name], after[name]))


def relative_difference(first, second):
    difference = np.abs(first.numpy() - second.numpy()).max()
    return float(difference / max(np.abs(first.numpy()).max(), np.finfo(np.float32).tiny))


def inference(obj, images):
    tensor = tf.constant(images)
    calls = {
        "plain": lambda: obj(tensor),
        "array": lambda: obj(images),
        "named": lambda: obj(images=tensor),
        "training_false": lambda: obj(tensor, training=False),
        "training_false_by_position": lambda: obj(tensor, False),
        "with_momentum": lambda: obj(tensor, training=False, batch_norm_momentum=0.25),
        "with_int_momentum": lambda: obj(tensor, batch_norm_momentum=1),
        "in_function": lambda: tf.function(obj)(tensor),
    }
    arrays = {"inference/" + name: call().numpy() for name, call in calls.items()}
    for count in (1, 2):
        arrays["batch/%d" % count] = obj(tf.constant(images[:count])).numpy()
    return arrays


def training(obj, images, variables):
    """Outputs and moving statistics of one training step each, always from the same values."""
    tensor = tf.constant(images)
    original = snapshot(variables)
    steps = {"default": lambda: obj(tensor, training=True)}
    for name, momentum in MOMENTA.items():
        steps[name] = lambda momentum=momentum: obj(tensor, training=True, batch_norm_momentum=momentum())
    steps["by_position"] = lambda: obj(tensor, True, 0.75)
    steps["in_function"] = lambda: tf.function(lambda x, m: obj(x, training=True, batch_norm_momentum=m))(
        tensor, tf.constant(0.75)
    )
    arrays, changes = {}, {}
    for name, step in steps.items():
        arrays["training/" + name] = step().numpy()
        after = snapshot(variables)
        changes[name] = changed(original, after)
        arrays.update(("moved/%s/%s" % (name, key), after[key]) for key in after if "/moving_" in key)
        for key in changes[name]:
            variables[key].assign(original[key])
    arrays.update(("before/" + key, value) for key, value in original.items() if "/moving_" in key)
    return arrays, changes


def gradients(obj, images, persistent):
    """By mode: variables without a gradient, with one that is not finite, and with one of zeros only."""
    report = {}
    tensor = tf.constant(images)
    for mode in (False, True):
        with tf.GradientTape(persistent=persistent) as tape:
            first = tf.reduce_mean(tf.square(obj(tensor, training=mode)))
        of_output = tape.gradient(first, obj.trainable_variables)
        # Twice from the same tape, which is what a persistent one is for.
        again = tape.gradient(first, obj.trainable_variables) if persistent else []
        with tf.GradientTape() as tape:
            second = tf.add_n([loss() for loss in obj.regularization_losses])
        of_penalty = tape.gradient(second, obj.trainable_variables)
        named = [(v.name.split(":")[0], g) for v, g in zip(obj.trainable_variables, of_output)]
        differences = [relative_difference(a, b) for a, b in zip(of_output, again) if a is not None]
        report["training" if mode else "inference"] = {
            "missing": [name for name, gradient in named if gradient is None],
            "not_finite": [n for n, g in named if g is not None and not np.isfinite(g.numpy()).all()],
            "zero": [n for n, g in named if g is not None and not g.numpy().any()],
            "reached": len(named),
            "largest_difference": max(differences) if persistent else None,
            "penalized": [n for (n, _), g in zip(named, of_penalty) if g is not None],
        }
    return report


def signatures(obj, images):
    arrays, described = {}, {}
    for name, function in obj.signatures.items():
        outputs = function(inputs=tf.constant(images))
        described[name] = {
            "inputs": {
                key: [spec.dtype.name, tf.TensorShape(spec.shape).as_list()]
                for key, spec in function.structured_input_signature[1].items()
            },
            "outputs": sorted(outputs),
        }
        arrays.update(("signature/%s/%s" % (name, key), value.numpy()) for key, value in outputs.items())
    return arrays, described


def main(path, folder, tape):
    tf.compat.v1.enable_v2_behavior()
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    obj = hub.load(path)
    variables = {variable.name.split(":")[0]: variable for variable in obj.variables}
    before = snapshot(variables)
    arrays = inference(obj, images)
    of_signatures, described = signatures(obj, images)
    arrays.update(of_signatures)
    changed_by_inference = changed(before, snapshot(variables))
    of_training, changed_by_training = training(obj, images, variables)
    arrays.update(of_training)
    facts = {
        "tensorflow": tf.__version__,
        "hub": hub.__version__,
        "variables": [[v.name, v.shape.as_list(), v.dtype.name] for v in obj.variables],
        "trainable": [v.name for v in obj.trainable_variables],
        "marked_trainable": [v.name for v in obj.variables if v.trainable],
        "regularization_losses": [float(loss()) for loss in obj.regularization_losses],
        "changed_by_inference": changed_by_inference,
        "changed_by_training": changed_by_training,
        "signatures": described,
        "gradients": gradients(obj, images, tape == "persistent"),
    }
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
