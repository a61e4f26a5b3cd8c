"""Uses a TF1 Hub module as TensorFlow 1 users do, with ``hub.Module``, under every tensorflow-hub that has it.

    python hub_module.py ARTIFACT FOLDER

FOLDER holds ``input.npz`` with ``images``. Arrays go to ``output.npz`` beside it, facts to standard output as JSON; the
fine-tuned module is exported to ``exported``. It judges nothing: the tests do.
"""

import json
import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow_hub import image_module_info_pb2

v1 = tf.compat.v1
STEPS = 6
MOMENTUM = 0.75


def described(spec):
    return {
        "tag_sets": sorted(sorted(tags) for tags in spec.get_tags()),
        "signatures": {",".join(sorted(tags)): sorted(spec.get_signature_names(tags)) for tags in spec.get_tags()},
        "inputs": {
            name: {key: str(info.dtype.name) for key, info in spec.get_input_info_dict(name).items()}
            for name in spec.get_signature_names()
        },
        "outputs": {name: sorted(spec.get_output_info_dict(name)) for name in spec.get_signature_names()},
    }


def attached_size(spec):
    message = spec.get_attached_message("image_module_info", image_module_info_pb2.ImageModuleInfo)
    return [message.default_image_size.height, message.default_image_size.width]


def wrapped(path, images):
    """The module as a part of a new one, made with ``hub.create_module_spec``."""

    def module_fn():
        placeholder = v1.placeholder(tf.float32, [None] + list(images.shape[1:]))
        hub.add_signature(inputs={"images": placeholder}, outputs=hub.Module(path)(placeholder, as_dict=True))

    spec = hub.create_module_spec(module_fn)
    with tf.Graph().as_default():
        output = hub.Module(spec)(tf.constant(images))
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            return session.run(output)


def fed(images, spec, name, tags=None, momentum=MOMENTUM):
    inputs = {"images": images}
    if "batch_norm_momentum" in spec.get_input_info_dict(name, tags=tags):
        inputs["batch_norm_momentum"] = momentum
    return inputs


def inference(path, images):
    """Every output of every signature, and the image size that the module tells."""
    spec = hub.load_module_spec(path)
    with tf.Graph().as_default():
        module = hub.Module(spec)
        outputs = {
            name: module(fed(tf.constant(images), spec, name), signature=name, as_dict=True)
            for name in spec.get_signature_names()
        }
        outputs["called"] = {"default": module(tf.constant(images))}
        size = hub.get_expected_image_size(module)
        collections = {
            key: len(v1.get_collection(key)) for key in ("update_ops", "regularization_losses", "trainable_variables")
        }
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            values = session.run(outputs)
    arrays = {"inference/%s/%s" % (name, key): value for name in values for key, value in values[name].items()}
    arrays["inference/wrapped/default"] = wrapped(path, images)
    return arrays, dict(
        described(spec), size=list(size), attached_size=attached_size(spec), inference_collections=collections
    )


def fine_tune(path, images, labels, folder):
    """A few steps of gradient descent on everything, updates run with each; then exported and loaded again."""
    spec = hub.load_module_spec(path)
    settable = "image_feature_vector_with_bn_hparams" in spec.get_signature_names({"train"})
    signature = "image_feature_vector_with_bn_hparams" if settable else "image_feature_vector"
    with tf.Graph().as_default():
        v1.set_random_seed(7)
        module = hub.Module(spec, tags={"train"}, trainable=True)
        pictures = v1.placeholder_with_default(tf.constant(images), images.shape)
        given = fed(pictures, spec, signature, {"train"})
        features = module(given, signature=signature)
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        losses = v1.get_collection(v1.GraphKeys.REGULARIZATION_LOSSES)
        trained = v1.trainable_variables()
        logits = v1.layers.dense(features, 2, kernel_initializer=v1.zeros_initializer())
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        optimizer = v1.train.GradientDescentOptimizer(0.02)
        with tf.control_dependencies(updates):
            step = optimizer.minimize(loss + tf.add_n(losses))
        moving = {name: variable for name, variable in module.variable_map.items() if "/moving_" in name}
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            regularization = float(session.run(tf.add_n(losses)))
            before = session.run(moving)
            session.run(updates)
            moved = session.run(moving)
            # Drop path is noise, so there has to be something to learn: one class is bright.
            easy = {pictures: 0.2 * images + 0.8 * labels.reshape(-1, 1, 1, 1).astype(images.dtype)}
            history = [float(session.run([loss, step], easy)[0]) for _ in range(STEPS)]
            module.export(os.path.join(folder, "exported"), session)
            final = session.run(module.variable_map)
    with tf.Graph().as_default():
        again = hub.Module(os.path.join(folder, "exported"))
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            reloaded = session.run(again.variable_map)
    arrays = {"before/" + name: value for name, value in before.items()}
    arrays.update(("moved/" + name, value) for name, value in moved.items())
    facts = {
        "updates": len(updates),
        "trainable": sorted(variable.op.name.split("/", 1)[1] for variable in trained if "dense" not in variable.name),
        "regularization": regularization,
        "losses": history,
        "exported_same": sorted(name for name in final if np.array_equal(final[name], reloaded[name])) == sorted(final),
    }
    return arrays, facts


def main(path, folder):
    with np.load(os.path.join(folder, "input.npz")) as file:
        images = file["images"]
    arrays, facts = inference(path, images)
    more_arrays, more_facts = fine_tune(path, images, np.arange(len(images)) % 2, folder)
    arrays.update(more_arrays)
    np.savez(os.path.join(folder, "output.npz"), **arrays)
    versions = {"tensorflow": tf.__version__, "hub": hub.__version__}
    json.dump(dict(facts, versions=versions, **more_facts), sys.stdout)


if __name__ == "__main__":
    v1.logging.set_verbosity(v1.logging.ERROR)
    main(*sys.argv[1:])
