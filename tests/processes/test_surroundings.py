"""Whatever a user has set for other programs, and whoever that is: the same bytes, or a line that says the cause."""

import errno
import json
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.processes.worker import serialize_error
from tests.processes.test_device import SET_BY_USER
from tests.support.command import CHECKOUT, TIMEOUT, Command, Result, artifact_folder, refusal, succeeded

#: What `nasexport` runs, which has not the working folder in its path as ``python -m exporter`` has.
START = (
    f"import sys; sys.path[:] = [{str(CHECKOUT)!r}, *filter(None, sys.path)]; from exporter.__main__ import run; run()"
)
#: As a user whom the system does not know; the files stay those of the user who runs this.
UNKNOWN_USER = ("unshare", "--user", "--map-user=54321", "--map-group=54321")


def _run(
    command: Command, *arguments: object, variables: Mapping[str, str | None], start: tuple[str, ...] = ()
) -> Result:
    environment = {**command.env, **variables}
    return subprocess.run(
        [*start, sys.executable, "-c", START, *map(str, arguments)],
        cwd=command.cwd,
        env={name: value for name, value in environment.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def _unknown_user() -> tuple[str, ...]:
    """How to run as a user whom the system does not know; nothing where that cannot be had."""
    if (
        shutil.which("unshare")
        and not subprocess.run([*UNKNOWN_USER, "true"], capture_output=True, check=False).returncode
    ):
        return UNKNOWN_USER
    return ()


@pytest.mark.long
def test_nothing_around_it_changes_an_artifact(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, tmp_path: Path
) -> None:
    keras = tmp_path / "keras"
    keras.mkdir()
    settings = {"floatx": "float16", "epsilon": 1e-7, "backend": "torch", "image_data_format": "channels_first"}
    (keras / "keras.json").write_text(json.dumps(settings))
    for name in ("tensorflow", "random", "numpy", "exporter", "keras"):
        (own_cli.cwd / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    variables = {
        **SET_BY_USER,
        "TF_NUM_INTRAOP_THREADS": "1",
        "KERAS_HOME": str(keras),
        "PYTHONHASHSEED": "7",
        "LC_ALL": "C",
        "HOME": None,
        "NASEXPORT_CACHE_DIR": None,
    }
    start = _unknown_user()
    # What the command itself is started with is Python's own matter.
    for name in ("PYTHONIOENCODING", "PYTHONSAFEPATH", "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"):
        del variables[name]
    options = ("--task", "classification", "--checkpoint", tiny_checkpoint, "--output", "dist")
    result = succeeded(_run(own_cli, "build", tiny, *options, variables=variables, start=start))
    assert "Traceback" not in result.stderr and "  FAIL" not in result.stderr
    folder = artifact_folder(own_cli.cwd / "dist", "tiny_nasnet", "classification", 4)
    usual = artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 4)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        assert (folder / name).read_bytes() == (usual / name).read_bytes(), name
    assert not (own_cli.cwd / "~").exists()


def test_without_a_home_what_needs_one_says_so(own_cli: Command) -> None:
    start = _unknown_user()
    if not start:
        pytest.skip("no user can be had here whom the system does not know")
    variables = {"HOME": None, "NASEXPORT_CACHE_DIR": None}
    assert "nasnet_large" in succeeded(_run(own_cli, "models", variables=variables, start=start)).stdout
    options = ("--retries", 0, "--timeout", 1, "--mirror", own_cli.cwd)
    message = refusal(
        _run(own_cli, "fetch", "nasnet_mobile", *options, variables=variables, start=start),
        status=_status("CacheError"),
    )
    assert "there-is-no-home-folder" in message and "--cache-dir" in message


def _status(error: str) -> int:
    from exporter.errors import error_class

    return getattr(error_class(error)(), "status", 1)


@pytest.mark.parametrize("gigabytes", [0.5, 1.9])
def test_too_little_address_space_is_named(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, gigabytes: float
) -> None:
    limit = int(gigabytes * 1e9)
    process = own_cli.start(
        *("build", tiny, "--checkpoint", tiny_checkpoint, "--task", "feature_vector"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    output, errors = process.communicate(timeout=TIMEOUT)
    message = refusal(subprocess.CompletedProcess([], process.returncode, output, errors), _status("MachineError"))
    assert f"ulimit -v allows {gigabytes:.1f} GB of address space" in message
    assert "fault of nasexport" not in message


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (RuntimeError("can't start new thread"), "no more threads can be started"),
        (ImportError("libtensorflow_cc.so.2: failed to map segment"), "cannot import TensorFlow"),
    ],
)
def test_no_artifact_is_blamed_for_the_machine(error: Exception, said: str) -> None:
    # A verdict is made of errors of artifacts and of crashes, and these are neither.
    failure = serialize_error(error)
    assert failure.error == "MachineError" and said in failure.message


@pytest.mark.long
def test_a_cache_that_users_share_has_the_modes_that_the_mask_gives(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path
) -> None:
    process = own_cli.start("reference", "record", tiny, "--checkpoint", tiny_checkpoint, umask=0o002)
    assert process.communicate(timeout=TIMEOUT) and process.returncode == 0
    found = list(own_cli.cache.rglob("*"))
    assert any(path.suffix == ".npz" for path in found)
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o775 if path.is_dir() else 0o664), path
