"""PyTorch's order of axes for the variables of these networks."""

#: From the checkpoint's axes to PyTorch's: a kernel's [height, width, channels, filters] to [filters, channels, height,
#: width], a depthwise one's [height, width, channels, 1] to [channels, 1, height, width], and the classifier's
#: [features, classes] to [classes, features].
KERNEL_AXES, DEPTHWISE_AXES, CLASSIFIER_AXES = (3, 2, 0, 1), (2, 3, 0, 1), (1, 0)


def axes(name: str) -> tuple[int, ...] | None:
    """The order that PyTorch has the axes of a variable in, by its checkpoint name; None for the same order."""
    scope, _, leaf = name.rpartition("/")
    if scope == "final_layer/FC":
        return CLASSIFIER_AXES if leaf == "weights" else None
    return {"weights": KERNEL_AXES, "pointwise_weights": KERNEL_AXES, "depthwise_weights": DEPTHWISE_AXES}.get(leaf)
