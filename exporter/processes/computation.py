"""The worker's side of where a job computes, and how: told to TensorFlow before the first operation.

The command's own process does not import this module.
"""

import os
from typing import Any

import tensorflow as tf

from exporter.errors import DeviceError
from exporter.processes.device import VARIABLE
from exporter.processes.jobs import CardFound, FindCardRequest
from exporter.progress import Say


def prepare(wanted: str) -> None:
    """Makes TensorFlow compute in float32 as it is, on the processor or on one card whose memory is taken by growth.

    Args:
        wanted: see `exporter.processes.device.Wanted`.

    Raises:
        DeviceError: a card is wanted, and TensorFlow finds none; or there is one that does not work.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if wanted == "cpu":
        # Cards of other makers than those whose variables are set come as plugins.
        tf.config.set_visible_devices(tf.config.list_physical_devices("CPU"))
        return
    cards = tf.config.list_physical_devices("GPU")
    if not cards and wanted == "gpu":
        raise DeviceError(f"TensorFlow {tf.__version__} finds no graphics card: {_why()}\nleave out --device gpu")
    for card in cards:
        tf.config.experimental.set_memory_growth(card, True)
    tf.config.set_visible_devices(cards[:1], "GPU")
    if cards:
        _require_convolution()


def _require_convolution() -> None:
    """Raises DeviceError where the card is there, and its libraries are not: no artifact is to blame for that."""
    try:
        with tf.device("GPU:0"):
            tf.nn.conv2d(tf.ones([1, 4, 4, 3]), tf.ones([3, 3, 3, 2]), 1, "SAME").numpy()
    except tf.errors.OpError as error:
        text = " ".join(str(error).split())[:300]
        raise DeviceError(f"the graphics card cannot compute a convolution: {text}\npass --device cpu") from error


def _why() -> str:
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        if name in os.environ:
            return f"{name} is {os.environ[name]!r}"
    if not tf.test.is_built_with_gpu_support():
        return "it was built for the processor alone"
    return "there is none with a driver and libraries that it knows (pip install 'tensorflow[and-cuda]' for NVIDIA's)"


def name_of(tensor: Any) -> str:
    """The device that a tensor was computed on, for people: "CPU", or "GPU" and the name of the card."""
    kind = tf.DeviceSpec.from_string(tensor.device).device_type or "CPU"
    if kind == "CPU":
        return kind
    cards = tf.config.get_visible_devices(kind)
    name = tf.config.experimental.get_device_details(cards[0]).get("device_name") if cards else None
    return f"{kind} {name}" if name else kind


def find_card(request: FindCardRequest, say: Say) -> CardFound:
    """The job `exporter.processes.jobs.FIND_CARD`: its process was prepared for a card, so there is one."""
    return CardFound(name_of(tf.add(tf.ones([2]), 1)))


def wanted() -> str:
    """What the command's process told this one."""
    return os.environ.get(VARIABLE, "cpu")
