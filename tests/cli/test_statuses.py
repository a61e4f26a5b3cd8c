"""The exit statuses of `docs/reference/exit-statuses.md`: of every command, for every reason that it can have."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from exporter.cli.main import main
from tests.support import preloaded
from tests.support.command import TIMEOUT, Command, artifact_folder, files_below, forked, succeeded
from tests.support.fetching import ARCHIVE, FILE, OTHER


def _commands(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*names, name)
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)


COMMANDS = list(_commands(main))


def test_there_are_commands() -> None:
    assert {("models",), ("build",), ("cache", "verify"), ("release", "merge"), ("serve",)} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_wrong_usage_of_any_command_is_2(cli: Command, command: tuple[str, ...]) -> None:
    result = cli(*command, "--nonsense")
    assert (result.returncode, result.stdout) == (2, "")
    assert "No such option" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.skipif(not preloaded.AVAILABLE, reason="commands are forked, and /dev/full is there, on Linux only")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_output_that_cannot_be_written_is_3_of_any_command(cli: Command, command: tuple[str, ...]) -> None:
    succeeded(cli(*command, "--help"))
    with open("/dev/full", "w") as full:
        started = forked().start([*command, "--help"], cli.env, cli.cwd, stdout=full.fileno())
        _, stderr = started.communicate(TIMEOUT)
    assert started.returncode == 3
    assert stderr == "nasexport: error: cannot write to standard output: No space left on device\n"


# Each command, for each reason


@dataclass(frozen=True)
class Places:
    """What the rows below speak of, in the working folder of the command or elsewhere."""

    tiny: Path
    checkpoint: Path
    artifact: Path
    classifier: Path


@pytest.fixture
def places(
    own_cli: Command, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, imagenet_artifacts: Path
) -> Places:
    work = own_cli.cwd
    (work / "garbage").write_bytes(b"\xff garbage \0")
    (work / "garbage.jpg").write_bytes(b"\xff garbage \0")
    (work / "garbage.yaml").write_bytes(b"\xff garbage \0")
    (work / "bad.index").write_bytes(b"\xff garbage \0")
    (work / "bad.data-00000-of-00001").write_bytes(b"\xff garbage \0")
    (work / "pictures").mkdir()
    (work / "pictures" / "a.png").write_bytes(b"")
    (work / "labels").write_text("nonsense\n")
    artifact = artifact_folder(tiny_artifacts, "tiny_nasnet", "feature_vector", 5)
    shutil.copytree(artifact, work / "damaged")
    (work / "damaged" / "saved_model.pb").write_bytes(b"\xff garbage")
    (work / "damaged" / "nasexport.json").write_bytes(b"{")
    (work / "unfinished").mkdir()
    (work / "broken").mkdir()
    (work / "broken" / "manifest.json").write_bytes(b"{")
    return Places(
        tiny,
        tiny_checkpoint,
        artifact,
        artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 4),
    )


Row = tuple[int, Callable[[Places], tuple[object, ...]]]
_NEW = ("--output", "new")
ROWS: dict[str, Row] = {
    "models": (0, lambda at: ("models",)),
    "build": (0, lambda at: ("build", at.tiny, "--checkpoint", at.checkpoint, "--no-verify", "--version", 5, *_NEW)),
    "build from a damaged checkpoint": (1, lambda at: ("build", at.tiny, "--checkpoint", "bad", *_NEW)),
    "build of a damaged configuration": (1, lambda at: ("build", "garbage.yaml", "--checkpoint", "bad", *_NEW)),
    "build of an unknown model": (2, lambda at: ("build", "nasnet_huge", *_NEW)),
    "build of an unknown version": (2, lambda at: ("build", at.tiny, "--version", 2, *_NEW)),
    "build of a momentum that cannot be": (
        2,
        lambda at: ("build", at.tiny, "--version", 1, "--batch-norm-momentum", 0.5, "--checkpoint", "bad", *_NEW),
    ),
    "build without a published archive": (2, lambda at: ("build", at.tiny, *_NEW)),
    "build from no checkpoint": (3, lambda at: ("build", at.tiny, "--checkpoint", "absent", *_NEW)),
    "build of no configuration": (3, lambda at: ("build", "absent.yaml", *_NEW)),
    "build into a file": (3, lambda at: ("build", at.tiny, "--checkpoint", at.checkpoint, "--output", "garbage")),
    "build offline": (3, lambda at: ("build", "nasnet_mobile", "--offline", *_NEW)),
    "build with a page that cannot be": (
        3,
        lambda at: ("build", at.tiny, "--checkpoint", at.checkpoint, "--report", "absent/page.html", *_NEW),
    ),
    "verify of a damaged artifact": (1, lambda at: ("verify", "damaged", "--checkpoint", at.checkpoint)),
    "verify of what is none": (1, lambda at: ("verify", "unfinished")),
    "verify of an unknown model": (2, lambda at: ("verify", at.artifact, "--model", "nasnet_huge")),
    "verify of nothing": (3, lambda at: ("verify", "absent")),
    "verify without its checkpoint": (3, lambda at: ("verify", at.artifact)),
    "verify with no checkpoint": (3, lambda at: ("verify", at.artifact, "--checkpoint", "absent")),
    "inspect": (0, lambda at: ("inspect", at.artifact)),
    "inspect of a damaged artifact": (1, lambda at: ("inspect", "damaged")),
    "inspect of another file": (1, lambda at: ("inspect", "garbage")),
    "inspect of nothing": (3, lambda at: ("inspect", "absent")),
    "diff of the same": (0, lambda at: ("diff", at.artifact, at.artifact, "--only", "variables")),
    "diff of others": (1, lambda at: ("diff", at.artifact, at.classifier, "--only", "variables")),
    "diff of a damaged artifact": (1, lambda at: ("diff", at.artifact, "damaged", "--only", "variables")),
    "diff of nothing": (3, lambda at: ("diff", at.artifact, "absent", "--only", "variables")),
    "predict of a damaged image": (1, lambda at: ("predict", at.classifier, "garbage.jpg")),
    "predict by what gives no classes": (1, lambda at: ("predict", at.artifact, "garbage.jpg")),
    "predict by nothing": (3, lambda at: ("predict", "absent", "garbage.jpg")),
    "evaluate with damaged labels": (
        1,
        lambda at: ("evaluate", at.classifier, "--images", "pictures", "--labels", "labels"),
    ),
    "evaluate of no images": (3, lambda at: ("evaluate", at.classifier, "--images", "absent")),
    "evaluate of nothing": (3, lambda at: ("evaluate", "absent", "--images", "pictures")),
    "embed by what classifies": (1, lambda at: ("embed", at.classifier, "--images", "pictures", "--output", "new")),
    "embed of no images": (3, lambda at: ("embed", at.artifact, "--images", "absent", "--output", "new")),
    "embed by nothing": (3, lambda at: ("embed", "absent", "--images", "pictures", "--output", "new")),
    "embed on two clusters": (
        2,
        lambda at: ("embed", at.artifact, "--images", "a", "--output", "b", "--workers", 1, "--cluster", "c"),
    ),
    "reference record of a damaged checkpoint": (
        1,
        lambda at: ("reference", "record", at.tiny, "--checkpoint", "bad", "--output", "new.npz"),
    ),
    "reference record of an unknown model": (2, lambda at: ("reference", "record", "nasnet_huge")),
    "reference record of no checkpoint": (
        3,
        lambda at: ("reference", "record", at.tiny, "--checkpoint", "absent", "--output", "new.npz"),
    ),
    "fetch of other bytes": (1, lambda at: ("fetch", "pinned.yaml", "--mirror", "mirror", "--offline")),
    "fetch of an unknown model": (2, lambda at: ("fetch", "nasnet_huge")),
    "fetch of nothing in particular": (2, lambda at: ("fetch",)),
    "fetch without an archive": (2, lambda at: ("fetch", at.tiny)),
    "fetch offline": (3, lambda at: ("fetch", "nasnet_mobile", "--offline")),
    "lock of an unknown model": (2, lambda at: ("lock", "nasnet_huge")),
    "lock offline": (3, lambda at: ("lock", "nasnet_mobile", "--offline", "--lock-file", "new.lock")),
    "cache list": (0, lambda at: ("cache", "list")),
    "cache list with a damaged lock file": (1, lambda at: ("cache", "list", "--lock-file", "garbage")),
    "cache list without a lock file": (3, lambda at: ("cache", "list", "--lock-file", "absent")),
    "cache path": (0, lambda at: ("cache", "path")),
    "cache verify": (0, lambda at: ("cache", "verify")),
    "cache prune": (0, lambda at: ("cache", "prune")),
    "cache prune with a damaged lock file": (1, lambda at: ("cache", "prune", "--lock-file", "garbage")),
    "doctor": (0, lambda at: ("doctor",)),
    "doctor of a damaged lock file": (1, lambda at: ("doctor", "--lock-file", "garbage")),
    "inspect of a folder of artifacts": (0, lambda at: ("inspect", at.artifact.parents[4])),
    "models with a damaged lock file": (1, lambda at: ("models", "--lock-file", "garbage")),
    "models without a lock file": (3, lambda at: ("models", "--lock-file", "absent")),
    "synth": (0, lambda at: ("synth", at.tiny, "--output", "new.ckpt")),
    "synth of a damaged configuration": (1, lambda at: ("synth", "garbage.yaml", "--output", "new.ckpt")),
    "synth of an unknown model": (2, lambda at: ("synth", "nasnet_huge", "--output", "new.ckpt")),
    "synth below a file": (3, lambda at: ("synth", at.tiny, "--output", "garbage/new.ckpt")),
    "release of a damaged checkpoint": (
        1,
        lambda at: ("release", "--models", at.tiny, "--checkpoint", "tiny_nasnet=bad", *_NEW),
    ),
    "release of an unknown model": (2, lambda at: ("release", "--models", "nasnet_huge")),
    "release of an unknown version": (2, lambda at: ("release", "--models", at.tiny, "--versions", 9)),
    "release into a file": (3, lambda at: ("release", "--models", "nasnet_mobile", "--output", "garbage")),
    "release --plan": (0, lambda at: ("release", "--models", "nasnet_mobile", "--plan", *_NEW)),
    "release merge of a damaged part": (1, lambda at: ("release", "merge", "broken", *_NEW)),
    "release merge of an unfinished part": (1, lambda at: ("release", "merge", "unfinished", *_NEW)),
    "release merge of no part": (3, lambda at: ("release", "merge", "absent", *_NEW)),
    "release verify of a damaged one": (1, lambda at: ("release", "verify", "broken", "--files-only")),
    "release verify of an unfinished one": (1, lambda at: ("release", "verify", "unfinished", "--files-only")),
    "release verify of nothing": (3, lambda at: ("release", "verify", "absent", "--files-only")),
    "serve of a damaged one": (1, lambda at: ("serve", "broken")),
    "serve of nothing": (3, lambda at: ("serve", "absent")),
}


@pytest.mark.parametrize("name", ROWS)
def test_status(own_cli: Command, places: Places, name: str) -> None:
    status, args = ROWS[name]
    if "pinned" in str(args(places)):
        _pin(own_cli, places.tiny)
        own_cli = own_cli.with_variables(NASEXPORT_LOCK=str(own_cli.cwd / "pins.lock"))
    result = own_cli(*args(places))
    assert result.returncode == status, f"{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    if status == 0:
        return
    # Either a message says what is wrong, or what was found does.
    said = "Usage: nasexport" if "Usage:" in result.stderr else "nasexport: error: "
    assert (result.stderr.count(said), result.stdout == "") in [(1, True), (0, False)]
    assert files_below(own_cli.temporary) == []


def _pin(command: Command, tiny: Path) -> None:
    """A model whose archive is pinned, and a mirror with other bytes under its name."""
    (command.cwd / "pinned.yaml").write_text(f"{tiny.read_text()}checkpoint: {ARCHIVE}\n")
    lock = f'[checkpoint."{ARCHIVE}"]\nurl = "http://127.0.0.1:9/{FILE}"\nsize = 20\nsha256 = "{OTHER}"\n'
    (command.cwd / "pins.lock").write_text(lock)
    (command.cwd / "mirror").mkdir()
    (command.cwd / "mirror" / FILE).write_bytes(b"\x1f\x8b" + bytes(18))


def test_a_damaged_cache_is_1_and_a_free_port_0(own_cli: Command, tmp_path: Path) -> None:
    archive = own_cli.cache / "archives" / OTHER / FILE
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"damaged")
    result = own_cli("cache", "verify")
    assert result.returncode == 1 and result.stdout.startswith("FAIL ")


# What stops a command


def _waiting(command: Command, folder: Path) -> Command:
    """The same command, whose workers only say that they have begun, and wait."""
    begun = folder / "begun"
    program = (
        f"import sys, time\nif sys.argv[:1] == ['-c']:\n    open({str(begun)!r}, 'w').close()\n    time.sleep(600)\n"
    )
    return command.with_program_first(program, folder)


LONG: dict[str, Callable[[Places], tuple[object, ...]]] = {
    "build": lambda at: ("build", at.tiny, "--checkpoint", at.checkpoint),
    "verify": lambda at: ("verify", at.artifact, "--checkpoint", at.checkpoint),
    "inspect": lambda at: ("inspect", at.artifact),
    "diff": lambda at: ("diff", at.artifact, at.artifact),
    "predict": lambda at: ("predict", at.classifier, "picture.png"),
    "reference record": lambda at: ("reference", "record", at.tiny, "--checkpoint", at.checkpoint),
    "synth": lambda at: ("synth", at.tiny, "--output", "new.ckpt"),
    "release": lambda at: ("release", "--models", at.tiny, "--checkpoint", f"tiny_nasnet={at.checkpoint}"),
}


@pytest.mark.stops
@pytest.mark.parametrize("name", LONG)
def test_a_signal_ends_with_its_number_and_leaves_nothing(
    own_cli: Command, places: Places, tmp_path: Path, name: str
) -> None:
    (own_cli.cwd / "picture.png").write_bytes(bytes.fromhex("89504e470d0a1a0a"))
    before = files_below(own_cli.cwd)
    waiting = _waiting(own_cli, tmp_path)
    for number, called in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")):
        process = waiting.begun(*LONG[name](places))
        end = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end and process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(number)
        # A second one, of who is impatient, does not cut off the cleaning up.
        time.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stdout) == (128 + number, ""), stderr
        assert stderr.endswith(f"nasexport: stopped by {called}\n") and "Traceback" not in stderr
        assert files_below(own_cli.temporary) == []
        assert [path for path in files_below(own_cli.cwd) if path not in {*before, "release"}] == []
        (tmp_path / "begun").unlink()


@pytest.mark.stops
def test_what_nohup_makes_deaf_stays_deaf(own_cli: Command, places: Places, tmp_path: Path) -> None:
    waiting = _waiting(own_cli, tmp_path)
    process = waiting.start("inspect", places.artifact, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
