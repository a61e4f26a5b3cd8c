"""Folders for temporary files: whose process was killed, they are removed by the next; all others stay."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from exporter.errors import NasexportError
from exporter.files import temporary
from tests.support.command import CHECKOUT, files_below

HOLD = """
    import sys
    from pathlib import Path
    from exporter.files import temporary
    with temporary.folder(sys.argv[1]) as folder:
        (folder / "file").write_text("half")
        print(folder, flush=True)
        sys.stdin.read()
"""


def _holding(place: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(place)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_it_is_empty_private_and_removed(tmp_path: Path) -> None:
    with temporary.folder(tmp_path) as folder:
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        (folder / "below").mkdir()
        assert files_below(folder) == ["below"]
    assert files_below(tmp_path) == []
    with pytest.raises(ValueError, match="x"), temporary.folder(tmp_path):
        raise ValueError("x")
    assert files_below(tmp_path) == []


@pytest.mark.stops
def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(tmp_path: Path) -> None:
    killed, left = _holding(tmp_path)
    running, used = _holding(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "file").exists()
    with temporary.folder(tmp_path):
        assert not left.exists() and (used / "file").exists()
    running.communicate("")
    assert running.returncode == 0 and files_below(tmp_path) == []


def test_what_others_made_stays(tmp_path: Path) -> None:
    names = ["nasexport", "nasexport-abcdefgh", ".nasexport", ".nasexport.partial", ".nasexports.0.partial"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / ".nasexport.0.partial").symlink_to("nasexport")
    (tmp_path / "nasexport" / "file").touch()
    kept = files_below(tmp_path)
    if os.geteuid() == 0:
        foreign = tmp_path / ".nasexport.1.partial"
        foreign.mkdir()
        os.chown(foreign, 12345, 12345)
        kept = sorted([*kept, foreign.name])
    with temporary.folder(tmp_path):
        pass
    assert files_below(tmp_path) == kept


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(NasexportError, match=r"cannot make a folder in .*file: .*TMPDIR"),
        temporary.folder(tmp_path / "file"),
    ):
        pytest.fail("it was made")
