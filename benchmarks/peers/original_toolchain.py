"""The toolchain of the published modules: TF-Slim, and tensorflow-hub's own writer, under TensorFlow 1.15 and Python 3.7.

    python original_toolchain.py NETWORK.json CHECKPOINT FOLDER

builds the module of a classification network with signatures as version 3 has them, restores the checkpoint (a prefix:
nothing here reads archives), and exports it to FOLDER. The network can be built by today's tf-slim, too.
NETWORK.json has the fields of a model's configuration, and its ``cells``.
"""

import json
import sys

import tensorflow as tf

v1 = tf.compat.v1
if tf.__version__.startswith("1."):
    slim = tf.contrib.slim
    batch_norm = slim.batch_norm
else:
    import tf_slim as slim  # type: ignore[no-redef]

    @slim.add_arg_scope
    def batch_norm(net, is_training, decay, epsilon, scale, fused, scope):
        """tf-slim's own needs parts of TensorFlow that are gone; this one is for inference alone."""
        assert scale and fused and not is_training
        with v1.variable_scope(scope):
            shape = [net.shape[3]]
            gamma = slim.model_variable("gamma", shape, initializer=v1.ones_initializer())
            beta = slim.model_variable("beta", shape, initializer=v1.zeros_initializer())
            mean = slim.model_variable("moving_mean", shape, initializer=v1.zeros_initializer(), trainable=False)
            variance = slim.model_variable("moving_variance", shape, initializer=v1.ones_initializer(), trainable=False)
        return v1.nn.fused_batch_norm(net, gamma, beta, mean, variance, epsilon, is_training=False)[0]


def network(config, images, training=False, momentum=0.9997):
    """The end points of the network on ``images`` in [0, 1], in order; ``Logits`` is one of them."""
    initializer = slim.variance_scaling_initializer(mode="FAN_OUT")
    regularizer = slim.l2_regularizer(config["weight_decay"])
    layers = [slim.conv2d, slim.separable_conv2d]
    # Without parentheses around all of them: Python 3.7 reads this.
    with slim.arg_scope(
        layers + [slim.fully_connected],
        weights_initializer=initializer,
        weights_regularizer=regularizer,
        activation_fn=None,
    ), slim.arg_scope(layers, biases_initializer=None), slim.arg_scope(
        [slim.avg_pool2d, slim.max_pool2d], padding="SAME"
    ), slim.arg_scope([batch_norm], is_training=training, decay=momentum, epsilon=0.001, scale=True, fused=True):
        return _network(config, 2 * images - 1, training)


def _network(config, net, training):
    normal, reduction = config["cells"]["normal"], config["cells"]["reduction"]
    inserts = config["cells"]["inserts_reductions"]
    total = config["num_cells"] + config["cells"]["stem_cells_in_drop_path"]
    filters = config["num_conv_filters"]
    net = slim.conv2d(net, config["stem_filters"], 3, stride=2, padding="VALID", scope="conv0")
    states = [batch_norm(net, scope="conv0_bn")]
    end_points = {}

    def add(scope, name, cell, previous, filters, stride):
        # The stem cells are the numbers 0 and 1.
        keep_prob = 1 - len(states) / total * (1 - config["drop_path_keep_prob"])
        if not training:
            keep_prob = 1.0
        states.append(_cell(scope, cell, states[-1], previous, filters, stride, keep_prob))
        end_points[name] = states[-1]

    add("cell_stem_0", "Stem", reduction, None, filters // 4, 2)
    add("cell_stem_1", "Stem", reduction, states[-2], filters // 2, 2)
    for index in range(config["num_cells"]):
        previous, stride = states[-2], 1
        if index in config["reductions"]:
            filters *= 2
            if inserts:
                number = config["reductions"].index(index)
                name = "reduction_cell_%d" % number
                add(name, "Reduction_Cell_%d" % number, reduction, previous, filters, 2)
                if not config["skip_reduction_layer_input"]:
                    previous = states[-2]
            else:
                stride = 2
        cell = normal if stride == 1 else reduction
        add("cell_%d" % index, "Cell_%d" % index, cell, previous, filters, stride)
    net = tf.reduce_mean(tf.nn.relu(states[-1]), [1, 2], name="global_pool")
    end_points["global_pool"] = net
    if training:
        net = v1.nn.dropout(net, config["dropout_keep_prob"])
    with v1.variable_scope("final_layer"):
        end_points["Logits"] = slim.fully_connected(net, config["num_classes"], scope="FC")
    end_points["Predictions"] = tf.nn.softmax(end_points["Logits"], name="predictions")
    return end_points


def _cell(scope, cell, net, previous, filters, stride, keep_prob):
    with v1.variable_scope(scope):
        previous = net if previous is None else _previous(previous, net, filters)
        net = slim.conv2d(tf.nn.relu(net), filters, 1, scope="1x1")
        states = [batch_norm(net, scope="beginning_bn"), previous]
        for index, sides in enumerate(cell["combinations"]):
            with v1.variable_scope("comb_iter_%d" % index):
                both = []
                for side, (kind, kernel, state) in zip(("left", "right"), sides):
                    with v1.variable_scope(side):
                        strides = stride if state < 2 else 1
                        both.append(_operation(kind, kernel, states[state], filters, strides, keep_prob))
                states.append(both[0] + both[1])
        return tf.concat([states[state] for state in cell["concatenated"]], 3, name="cell_output")


def _previous(previous, net, filters):
    if previous.shape[2] != net.shape[2]:
        return _factorized_reduction(tf.nn.relu(previous), filters)
    if previous.shape[3] != filters:
        previous = slim.conv2d(tf.nn.relu(previous), filters, 1, scope="prev_1x1")
        return batch_norm(previous, scope="prev_bn")
    return previous


def _factorized_reduction(net, filters):
    first = slim.avg_pool2d(net, 1, stride=2, padding="VALID")
    first = slim.conv2d(first, filters // 2, 1, scope="path1_conv")
    second = tf.pad(net, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:, :]
    second = slim.avg_pool2d(second, 1, stride=2, padding="VALID")
    second = slim.conv2d(second, filters - filters // 2, 1, scope="path2_conv")
    return batch_norm(tf.concat([first, second], 3), scope="final_path_bn")


def _operation(kind, kernel, net, filters, stride, keep_prob):
    if kind == "none":
        if stride > 1 or net.shape[3] != filters:
            net = slim.conv2d(tf.nn.relu(net), filters, 1, stride=stride, scope="1x1")
            net = batch_norm(net, scope="bn_1")
        return net
    if kind == "sep":
        for number, strides in ((1, stride), (2, 1)):
            name = "%dx%d_%d" % (kernel, kernel, number)
            net = slim.separable_conv2d(
                tf.nn.relu(net), filters, kernel, depth_multiplier=1, stride=strides, scope="separable_" + name
            )
            net = batch_norm(net, scope="bn_sep_" + name)
    else:
        net = (slim.avg_pool2d if kind == "avg" else slim.max_pool2d)(net, kernel, stride=stride)
        if net.shape[3] != filters:
            net = batch_norm(slim.conv2d(net, filters, 1, scope="1x1"), scope="bn_1")
    if keep_prob < 1.0:
        kept = tf.floor(keep_prob + v1.random_uniform([tf.shape(net)[0], 1, 1, 1]))
        net = net / keep_prob * kept
    return net


def export(config, checkpoint, folder):
    """Writes the module with tensorflow-hub, as those who have TensorFlow 1.15 do."""
    import tensorflow_hub as hub

    size = config["image_size"]

    def module(is_training):
        images = v1.placeholder(tf.float32, [None, size, size, 3], name="images")
        momentum = v1.placeholder_with_default(tf.constant(0.99), [], name="batch_norm_momentum")
        end_points = network(config, images, is_training, momentum)
        named = {config["name"] + "/" + name: tensor for name, tensor in end_points.items()}
        for name, output in (
            ("default", "Logits"),
            ("image_classification", "Logits"),
            ("image_feature_vector", "global_pool"),
        ):
            outputs = dict(named, default=end_points[output])
            hub.add_signature(None if name == "default" else name, {"images": images}, outputs)
            if name != "default":
                both = {"images": images, "batch_norm_momentum": momentum}
                hub.add_signature(name + "_with_bn_hparams", both, outputs)
        hub.attach_image_module_info(_image_module_info(hub, size))

    spec = hub.create_module_spec(
        module, tags_and_args=[(set(), {"is_training": False}), ({"train"}, {"is_training": True})]
    )
    with tf.Graph().as_default(), v1.Session() as session:
        made = hub.Module(spec)
        v1.train.Saver(made.variable_map).restore(session, checkpoint)
        made.export(folder, session)
    return {"variables": len(made.variable_map)}


def _image_module_info(hub, size):
    info = hub.ImageModuleInfo()
    info.default_image_size.height = info.default_image_size.width = size
    return info


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        fields = json.load(file)
    print(json.dumps(export(fields, sys.argv[2], sys.argv[3])))
