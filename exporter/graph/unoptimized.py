"""Running a graph as it is. Where it runs once, TensorFlow takes longer to optimize it than to run it.

Other kernels are chosen for an optimized graph, which round in another way: for the output of the large networks, by up
to 2e-4 of the largest value in inference and 2e-5 in training. What is held against each other runs in the same way.
"""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

v1 = tf.compat.v1

_OPTION = "disable_meta_optimizer"
#: The configuration of a session that does.
CONFIG = v1.ConfigProto()
setattr(CONFIG.graph_options.rewrite_options, _OPTION, True)
CONFIG.graph_options.place_pruned_graph = True


@contextlib.contextmanager
def calls() -> Iterator[None]:
    """Within this, functions of TensorFlow 2 that are called for the first time are not optimized."""
    tf.config.optimizer.set_experimental_options({_OPTION: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_OPTION: False})
