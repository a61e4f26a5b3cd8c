"""Files and folders that take their place whole: in processes that are killed, on full disks, two writers at once."""

import contextlib
import os
import random
import shlex
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import ArtifactError, CacheError
from exporter.files import staging
from tests.support.command import CHECKOUT, Command, files_below
from tests.support.disks import in_namespace

#: Enough for a write to take a while: a kill then falls into each of its parts.
SIZE = 400_000
KILLS = 24


def _content(number: int) -> bytes:
    return bytes([number]) * SIZE


def _python(program: str, *args: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program), *map(str, args)]


def _start(program: str, *args: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _python(program, *args), env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, stdout=subprocess.PIPE
    )


def _kill_at_random(process: subprocess.Popen[bytes], longest: float, chance: random.Random) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    time.sleep(chance.uniform(0, longest))
    process.send_signal(signal.SIGKILL)
    process.communicate()


#: Writes one content after the other, until it is killed.
WRITE_FILES = """
    import sys
    from pathlib import Path
    from exporter.files import staging
    target, first = Path(sys.argv[1]), int(sys.argv[2])
    print("begun", flush=True)
    number = first
    while True:
        staging.write(target, bytes([number]) * 400_000)
        number = first + (number - first + 1) % 100
"""


@pytest.mark.stops
def test_a_file_is_old_or_new_when_its_writer_is_killed(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(_content(0))
    chance = random.Random(0)
    for _ in range(KILLS):
        _kill_at_random(_start(WRITE_FILES, target, 1), 0.05, chance)
        content = target.read_bytes()
        assert content == _content(content[0])
        assert len(files_below(tmp_path)) <= 2
    staging.write(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert files_below(tmp_path) == ["file"], "what a killed process left is still there"


#: Replaces a folder by others of two files of the same content, holding a lock, until it is killed.
REPLACE_FOLDERS = """
    import sys
    from pathlib import Path
    from exporter.errors import ArtifactError
    from exporter.files import staging
    target = Path(sys.argv[1])
    lock = target.with_name(".lock")
    print("begun", flush=True)
    number = 1
    while True:
        with staging.held(lock, ArtifactError, "taken"), staging.replacing_folder(target) as folder:
            folder.mkdir()
            for name in "ab":
                (folder / name).write_bytes(bytes([number]) * 400_000)
        number = number % 100 + 1
"""


@pytest.mark.stops
def test_a_folder_is_old_or_new_when_its_writer_is_killed(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    for name in "ab":
        (target / name).write_bytes(_content(0))
    chance = random.Random(1)
    for _ in range(KILLS):
        _kill_at_random(_start(REPLACE_FOLDERS, target), 0.05, chance)
        # Between two renames it may be away for a moment: the next that comes to write it puts it back.
        with contextlib.suppress(ValueError), staging.replacing_folder(target):
            raise ValueError
        contents = {name: (target / name).read_bytes() for name in files_below(target)}
        assert sorted(contents) == ["a", "b"]
        assert contents["a"] == contents["b"] == _content(contents["a"][0])
        assert set(files_below(tmp_path)) <= {"folder", "folder/a", "folder/b", ".lock"}
    with staging.held(tmp_path / ".lock", ArtifactError, "a killed process still holds the lock"):
        pass


@pytest.mark.parametrize("state", ["replaced", "discarded"])
def test_a_folder_that_was_half_removed_never_comes_back(tmp_path: Path, state: str) -> None:
    """What is removed after a replacement has another name than what is put back."""
    target = tmp_path / "4"
    for folder in (target, tmp_path / f".4.{state}"):
        folder.mkdir()
        (folder / "half").touch()
    with staging.replacing_folder(target) as folder:
        folder.mkdir()
        (folder / "whole").touch()
    assert files_below(tmp_path) == ["4", "4/whole"]


def test_two_writers_of_one_file_mix_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(_content(0))
    writers = [_start(WRITE_FILES, target, first) for first in (1, 101)]
    seen: set[int] = set()
    try:
        for process in writers:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
        end = time.monotonic() + 60
        while time.monotonic() < end and not (min(seen, default=255) <= 100 < max(seen, default=0)):
            content = target.read_bytes()
            assert content == _content(content[0])
            seen |= {content[0]} - {0}
        assert [process.poll() for process in writers] == [None, None], "one was disturbed by the other"
    finally:
        for process in writers:
            process.kill()
            process.communicate()
    assert min(seen) <= 100 < max(seen), "both were seen"


def test_a_file_that_is_being_written_is_not_taken_for_left_over(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with staging.replacing(target) as slow:
        slow.write_bytes(b"slow")
        with staging.folder_beside(target) as folder:
            staging.write(target, b"fast")
            assert slow.exists() and folder.is_dir()
        assert target.read_bytes() == b"fast"
    assert target.read_bytes() == b"slow"
    assert files_below(tmp_path) == ["file"]


def test_what_was_left_over_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["file.0.partial", ".file.partial", ".other.0.partial", "[a].0.partial", ".a.0.partial"]
    for name in (".file.0.partial", *kept):
        (tmp_path / name).touch()
    (tmp_path / ".file.1.partial" / "below").mkdir(parents=True)
    (tmp_path / ".file.2.partial").symlink_to(tmp_path / "file.0.partial")
    staging.write(tmp_path / "file", b"x")
    staging.write(tmp_path / "[a]", b"x")
    assert files_below(tmp_path) == sorted([*kept, "file", "[a]", ".file.2.partial"])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "file"

    def fail() -> None:
        with staging.replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert files_below(tmp_path) == []
    target.write_bytes(b"old")
    with pytest.raises(error):
        fail()
    assert target.read_bytes() == b"old"
    assert files_below(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from exporter.files import staging
        target = Path(sys.argv[1])
        staging.write(target, b"old")
        try:
            staging.write(target, bytes(400_000))
        except OSError as error:
            print(error.strerror, target.read_bytes(), [path.name for path in target.parent.iterdir()])
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=100k none {shlex.quote(str(disk))} && "
    result = in_namespace(Command(tmp_path), mount + shlex.join(_python(program, disk / "file")))
    assert result.stdout == "No space left on device b'old' ['file']\n", result


@settings(deadline=None, max_examples=40)
@given(
    mask=st.sampled_from([0o000, 0o022, 0o027, 0o077]),
    old=st.none() | st.sampled_from([0o600, 0o644]),
    content=st.binary(max_size=100),
)
def test_what_is_written_has_the_content_and_the_mode_of_a_new_file(
    tmp_path_factory: pytest.TempPathFactory, mask: int, old: int | None, content: bytes
) -> None:
    target = tmp_path_factory.mktemp("mode") / "file"
    if old is not None:
        target.touch(old)
    before = os.umask(mask)
    try:
        staging.write(target, content)
    finally:
        os.umask(before)
    assert target.read_bytes() == content
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask
    assert files_below(target.parent) == ["file"]


def test_links_are_replaced_or_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for name in ("followed", "dangling", "replaced"):
        (tmp_path / name).symlink_to(f"real/{name}")
    for name in ("followed", "replaced"):
        (tmp_path / "real" / name).write_bytes(b"old")
    for name in ("followed", "dangling"):
        staging.write(tmp_path / name, b"new", follow_link=True)
    staging.write(tmp_path / "replaced", b"new")
    assert [(tmp_path / name).is_symlink() for name in ("followed", "dangling", "replaced")] == [True, True, False]
    contents = {name: (tmp_path / "real" / name).read_bytes() for name in files_below(tmp_path / "real")}
    assert contents == {"followed": b"new", "dangling": b"new", "replaced": b"old"}
    assert (tmp_path / "replaced").read_bytes() == b"new"


@pytest.mark.parametrize("write", [lambda path: staging.write(path, b""), staging.require_writable])
def test_what_is_no_file_stays(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(OSError, match="it is there, and no file"):
            write(tmp_path / name)
    with pytest.raises(FileNotFoundError) as caught:
        write(tmp_path / "absent" / "file")
    assert caught.value.filename == str(tmp_path / "absent" / "file")
    assert files_below(tmp_path) == ["folder", "pipe"]


def test_whether_a_file_can_be_written_is_known_without_writing_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    staging.require_writable(tmp_path / "file")
    staging.require_writable(tmp_path / "new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert files_below(tmp_path) == ["file"]


def test_files_and_folders_are_removed(tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "file").touch()
    staging.remove(tmp_path / "link")
    assert (tmp_path / "folder").is_dir()
    for name in ("folder", "file", "absent"):
        staging.remove(tmp_path / name)
    assert files_below(tmp_path) == []


def test_a_lock_is_held_by_one_and_says_what_its_caller_wants(tmp_path: Path) -> None:
    lock = tmp_path / "made" / ".lock"
    with staging.held(lock, ArtifactError, "first"):
        with (
            pytest.raises(CacheError, match=r"^taken: wait for it$"),
            staging.held(lock, CacheError, "taken: wait for it"),
        ):
            pytest.fail("two have it")
        assert staging.is_held(lock)
    assert files_below(tmp_path) == ["made"]
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot write in"), staging.held(tmp_path / "file" / "l", CacheError, "taken"):
        pytest.fail("a lock below a file")


def test_a_lock_is_taken_in_turn(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    waiting = threading.Event()
    turns = []

    def second() -> None:
        with staging.in_turn(lock, waiting.set):
            turns.append("second")

    thread = threading.Thread(target=second)
    with staging.in_turn(lock, lambda: pytest.fail("nobody has it")):
        thread.start()
        assert waiting.wait(30)
        turns.append("first")
    thread.join(30)
    assert turns == ["first", "second"]
    assert not staging.is_held(lock)


#: Counts in a file, with the lock whose file is removed after each turn.
COUNT = """
    import sys, time
    from pathlib import Path
    from exporter.errors import ArtifactError
    from exporter.files import staging
    lock, counter, left = Path(sys.argv[1]), Path(sys.argv[2]), 100
    while left:
        try:
            with staging.held(lock, ArtifactError, "taken"):
                counter.write_text(str(int(counter.read_text()) + 1))
                left -= 1
        except ArtifactError:
            time.sleep(0.0003)
"""


def test_a_lock_whose_file_is_removed_is_never_held_twice(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [_start(COUNT, tmp_path / "lock", counter) for _ in range(3)]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert counter.read_text() == "300"
