"""What workers compute on, and with which settings: no card is needed to see what they are told."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from exporter.errors import DeviceError
from exporter.processes import device, environment, run
from exporter.processes.job import Device, Job, NoEvent
from exporter.progress import Say
from tests.support.command import Command, refusal
from tests.support.jobs import all_jobs

#: What a user may have set, for this or other programs, and what makes TensorFlow compute with less precision.
SET_BY_USER = {
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "XLA_FLAGS": "--no_such_flag",
    "TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32": "1",
    "TF_ENABLE_AUTO_MIXED_PRECISION": "1",
    "TF_SET_ONEDNN_FPMATH_MODE": "BF16",
    "TF_USE_LEGACY_KERAS": "0",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "NVIDIA_TF32_OVERRIDE": "1",
    "KERAS_BACKEND": "torch",
    "AUTOGRAPH_STRICT_CONVERSION": "1",
    "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "cpp",
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "utf-16",
    "PYTHONWARNINGS": "error",
    "PYTHONSAFEPATH": "1",
    "TF_NUM_INTRAOP_THREADS": "3",
    "CUDA_VISIBLE_DEVICES": "5",
}
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


@dataclass(frozen=True)
class Question:
    """What a worker is asked: to wait so many seconds."""

    seconds: float = 0


@dataclass(frozen=True)
class Told:
    """What a worker found in its process, and when it began and ended to wait."""

    variables: dict[str, str]
    tf32: bool
    visible: tuple[str, ...]
    optimize: int
    began: float
    ended: float


def tell(request: Question, say: Say) -> Told:
    """The job of this module."""
    import sys

    import tensorflow as tf

    began = time.time()
    time.sleep(request.seconds)
    visible = tuple(each.device_type for each in tf.config.get_visible_devices())
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    return Told(dict(os.environ), tf32, visible, sys.flags.optimize, began, time.time())


def _job(name: str, *devices: Device) -> Job[Question, Told, NoEvent]:
    module = "tests.processes.test_device"
    return Job(f"{module}:{name}", f"{module}:tell", Question, Told, runs_network=True, devices=devices)


ON_PROCESSOR = _job("ON_PROCESSOR", "cpu", "gpu")
WHERE_FOUND = _job("WHERE_FOUND", "gpu", "cpu")


@pytest.fixture
def _set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SET_BY_USER.items():
        monkeypatch.setenv(name, value)


def test_what_decides_right_or_wrong_computes_on_the_processor() -> None:
    decide = {place for place, job in all_jobs().items() if job.runs_network and device.wanted(job) == "cpu"}
    assert decide == {
        "exporter.checkpoint.jobs:SYNTHESIZE",
        "exporter.probe.jobs:PROBE",
        "exporter.probe.jobs:PROBE_EAGERLY",
        "exporter.processes.jobs:FIND_CARD",
        "exporter.reference.jobs:INDEPENDENT",
        "exporter.reference.jobs:PRECISE_TRAINING",
        "exporter.reference.jobs:REFERENCE",
    }
    with device.using("gpu"):
        wanted = {place: device.wanted(job) for place, job in all_jobs().items()}
    # The weights of a seed are the same everywhere, and what runs no network needs no card.
    assert {place for place, each in wanted.items() if each == "gpu"} == {
        "exporter.evaluation.jobs:EMBED",
        "exporter.evaluation.jobs:EVALUATE",
        "exporter.evaluation.jobs:PREDICT",
        "exporter.probe.jobs:PROBE",
        "exporter.probe.jobs:PROBE_EAGERLY",
        "exporter.processes.jobs:FIND_CARD",
        "exporter.reference.jobs:INDEPENDENT",
        "exporter.reference.jobs:PRECISE_TRAINING",
        "exporter.reference.jobs:REFERENCE",
    }
    with device.using("cpu"):
        assert {device.wanted(job) for job in all_jobs().values()} == {"cpu"}


@pytest.mark.long
@pytest.mark.usefixtures("_set")
def test_a_worker_sees_no_card_and_nothing_that_changes_what_is_computed() -> None:
    told = run.run(ON_PROCESSOR, Question()).result
    assert told.visible == ("CPU",)
    assert told.tf32 is False
    assert told.optimize == 0
    assert {told.variables[name] for name in VISIBLE} == {"-1"}
    assert told.variables["KERAS_BACKEND"] == "tensorflow"
    assert told.variables["NVIDIA_TF32_OVERRIDE"] == "0"
    assert told.variables["TF_NUM_INTRAOP_THREADS"] == "3"
    assert told.variables["OMP_WAIT_POLICY"] == "PASSIVE"
    kept = {"KERAS_BACKEND", "NVIDIA_TF32_OVERRIDE", "TF_NUM_INTRAOP_THREADS", "CUDA_VISIBLE_DEVICES", "PYTHONSAFEPATH"}
    for name in SET_BY_USER.keys() - kept:
        assert told.variables.get(name) != SET_BY_USER[name], name


@pytest.mark.usefixtures("_set")
def test_a_worker_with_a_card_takes_its_memory_by_growth() -> None:
    # There is none here, so it computes on the processor, with the same precision.
    told = run.run(WHERE_FOUND, Question()).result
    assert told.variables["CUDA_VISIBLE_DEVICES"] == "5"  # which card is the user's choice
    assert told.variables["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert told.tf32 is False


@pytest.mark.long
def test_only_one_process_at_a_time_may_have_the_card() -> None:
    found: list[Told] = []
    with run.shared_import(WHERE_FOUND):  # whoever shares an import shares no card
        threads = [
            threading.Thread(target=lambda: found.append(run.run(WHERE_FOUND, Question(0.5)).result)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    first, second = sorted(found, key=lambda told: told.began)
    assert first.ended <= second.began


@pytest.mark.long
def test_a_card_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with device.using("gpu"), pytest.raises(DeviceError, match="finds no graphics card: CUDA_VISIBLE_DEVICES is '7'"):
        run.run(ON_PROCESSOR, Question())


@pytest.mark.parametrize("command", ["build", "verify", "predict"])
def test_a_card_that_is_not_there_ends_a_command_at_once(cli: Command, tmp_path: Path, command: str) -> None:
    # What follows is not even looked at.
    result = cli(command, "nasnet_mobile", *(["x.png"] if command == "predict" else []), "--device", "gpu")
    message = refusal(result, status=getattr(DeviceError(), "status", 1))
    assert "finds no graphics card" in message and "--device gpu" in message
    assert result.stderr.count("\n") == 2


def test_an_empty_part_of_the_path_is_not_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "/some/where", ""]))
    assert environment.of_worker([ON_PROCESSOR], "cpu", debug=False)["PYTHONPATH"] == "/some/where"
