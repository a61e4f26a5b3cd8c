"""The environment variables of workers.

What a user has set for other programs must decide neither what is computed nor whether a worker starts. So variables of
TensorFlow and of the libraries below it are left out, except those that are about speed, memory and messages.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from exporter.processes import device
from exporter.processes.job import Job

#: Families of variables that change what TensorFlow computes, or how it is compiled and started.
_LEFT_OUT = ("TF_", "TF2_", "XLA_", "KERAS_", "AUTOGRAPH_", "NPY_PROMOTION_", "PROTOCOL_BUFFERS_", "CUBLAS_EMULAT")
#: Members of these families that change neither.
_KEPT = (
    "TF_CPP_",
    "TF_ENABLE_ONEDNN_OPTS",  # docs/tutorials/fine-tune-tf2.md has when it is needed
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_GPU_ALLOCATOR",
    "TF_GPU_THREAD_",
    "TF_DETERMINISTIC_OPS",
    "TF_CUDNN_DETERMINISTIC",
)
#: Single variables to leave out: arithmetic of less precision, and settings of Python that a worker does not survive.
_LEFT_OUT_ALONE = {
    "DNNL_DEFAULT_FPMATH_MODE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "PYTHONIOENCODING",  # its messages are ASCII
    "PYTHONOPTIMIZE",  # TensorFlow and TF-Slim read their own docstrings
    "PYTHONWARNINGS",  # "error" ends an import
}


def of_worker(jobs: Sequence[Job[Any, Any, Any]], wanted: device.Wanted, debug: bool) -> dict[str, str]:
    """The environment variables of a process that runs these jobs on a device."""
    return {**inherited(os.environ), **_settings(jobs, debug), **device.variables(wanted)}


def inherited(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of a user's variables that a worker has, too."""
    kept = {
        name: value
        for name, value in variables.items()
        if name not in _LEFT_OUT_ALONE and (name.startswith(_KEPT) or not name.startswith(_LEFT_OUT))
    }
    if "PYTHONPATH" in kept:
        # An empty part is the folder that the user happens to be in, with whatever random.py is there.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, kept["PYTHONPATH"].split(os.pathsep)))
    return kept


def _settings(jobs: Sequence[Job[Any, Any, Any]], debug: bool) -> dict[str, str]:
    settings = {
        "PYTHONUTF8": "1",
        # Keras and tf_keras read and write a keras.json in this folder: there can be none in it.
        "KERAS_HOME": os.path.join(os.devnull, "keras"),  # noqa: PTH118
        "KERAS_BACKEND": "tensorflow",
        # Which Keras TensorFlow imports when it is imported: tensorflow-hub needs this one, nothing the other as well.
        "TF_USE_LEGACY_KERAS": "1",
        # For NVIDIA's libraries; `exporter.processes.computation` tells TensorFlow.
        "NVIDIA_TF32_OVERRIDE": "0",
        # PyTorch's threads would wait by computing between two operations: small ones take many times as long in all,
        # and what runs beside them waits.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
    if any(job.runs_network for job in jobs):
        # To run a network is to take and return large blocks: glibc asks for huge pages, where each is one fault.
        settings["GLIBC_TUNABLES"] = os.environ.get("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    if not any(job.uses_matrices for job in jobs):
        # It would have threads that wait by computing, for the little that is done with it.
        settings["OPENBLAS_NUM_THREADS"] = os.environ.get("OPENBLAS_NUM_THREADS", "1")
    if not debug:
        settings |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    return settings
