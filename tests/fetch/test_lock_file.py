"""The lock file as it is changed: whatever way of TOML it is written in, by however many at once."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import ConfigError
from exporter.fetch.lock import LockedArchive, locked_archives, with_entry, write_entry
from exporter.settings import Settings, project_lock_file
from exporter.validation import parse_toml
from tests.support.command import CHECKOUT

NAMES = ["nasnet-a_mobile_04_10_2017", "b", "c.d", "e-1"]
#: Ways to write one entry, with its name and, where it is pinned already, the hash in it.
ENTRIES = [
    '[checkpoint."{name}"]\nurl = "u"  # home of {name}\n',
    '[checkpoint."{name}"]\r\nurl = "u"\r\n',
    '[checkpoint."{name}"]\nurl = "u"\nsize = 1\nsha256 = "{old}"\n\n[checkpoint."{name}".files]\n"x y" = "{old}"\n',
    '[checkpoint."{name}"]\nurl = "u"\nsize = 1\nsha256 = "{old}"\nfiles = {{"x" = "{old}"}}  # one\n',
    '[checkpoint."{name}"]\nsynthetic = true\nsha256 = "{old}"\nsize = 1\nurl = "u"\nfiles.x = "{old}"\n',
]
#: The same in one table above them all, in which every entry is a line.
LINES = [
    '"{name}" = {{url = "u"}}  # {name}\n',
    '"{name}".url = "u"\n',
    '"{name}" = {{ url = "u", size = 1, sha256 = "{old}" }}\n',
]
OLD = "0" * 64
digests = st.binary(max_size=4).map(lambda content: hashlib.sha256(content).hexdigest())
paths = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def _parsed(text: str) -> dict[str, Any]:
    return parse_toml(text.encode(), ConfigError)


@st.composite
def lock_files(draw: st.DrawFn) -> str:
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, 4))]
    style = draw(st.sampled_from(["tables", "lines", "inline", "mixed"]))
    if style == "inline":
        body = ", ".join(f'"{name}" = {{url = "u"}}' for name in names)
        return f"# all\ncheckpoint = {{{body}}}\n[other]\nvalue = 1\n"
    fill = lambda text, name: text.format(name=name, old=OLD)  # noqa: E731
    if style == "lines":
        return "# all\n[checkpoint]\n" + "".join(fill(draw(st.sampled_from(LINES)), name) for name in names)
    parts = [fill(draw(st.sampled_from(ENTRIES)), name) for name in names]
    if style == "mixed":
        parts.insert(draw(st.integers(0, len(parts))), "[other]\nvalue = 1  # kept\n[[more]]\nat = 1979-05-27\n")
    return "# all\n" + "".join(parts)


@settings(max_examples=200, deadline=None)
@given(text=lock_files(), files=st.dictionaries(paths, digests, max_size=4), sha256=digests, made_up=st.booleans())
def test_only_what_is_pinned_is_changed(text: str, files: dict[str, str], sha256: str, made_up: bool) -> None:
    before = _parsed(text)
    name = min(before["checkpoint"])
    archive = LockedArchive(name, "u", Path("checkpoints.lock"), 7, sha256, files, made_up)
    changed = with_entry(text.encode(), archive)
    after = _parsed(changed.decode())
    entry = after["checkpoint"].pop(name)
    assert entry == {"url": "u", "size": 7, "sha256": sha256, "files": files} | ({"synthetic": True} if made_up else {})
    del before["checkpoint"][name]
    assert after == before
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line and "# one" not in line]
    assert all(f"#{comment}" in changed.decode() for comment in comments)
    assert with_entry(changed, archive) == changed


def test_an_entry_that_is_gone_is_told(tmp_path: Path) -> None:
    lock = tmp_path / "checkpoints.lock"
    lock.write_text('[checkpoint."a"]\nurl = "u"\n')
    with pytest.raises(ConfigError, match="no archive 'b' any more"):
        write_entry(LockedArchive("b", "u", lock, 1, OLD))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints.lock"]


def test_a_link_to_a_lock_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "pins.toml", tmp_path / "checkpoints.lock"
    real.write_text('[checkpoint."a"]\nurl = "u"\n')
    real.chmod(0o640)
    link.symlink_to("real/pins.toml")
    write_entry(LockedArchive("a", "u", link, 1, OLD, {"x": OLD}))
    assert link.is_symlink() and not real.is_symlink()
    assert locked_archives(real)["a"].sha256 == OLD
    assert real.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in real.parent.iterdir()] == ["pins.toml"]


#: Pins every archive whose number is one of its own, one after the other.
PIN = """
import sys
from pathlib import Path
from exporter.fetch.lock import LockedArchive, write_entry
lock, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for number in range(first, first + count):
    write_entry(LockedArchive(f"a{number}", "u", lock, number, f"{number:064x}", {"x": "0" * 64}))
"""


@pytest.mark.long
def test_many_processes_lose_no_pin(tmp_path: Path) -> None:
    """Half of them know the file by a link."""
    lock, link, processes, each = tmp_path / "checkpoints.lock", tmp_path / "other.lock", 8, 10
    lock.write_text("".join(f'[checkpoint."a{number}"]\nurl = "u"\n' for number in range(processes * each)))
    link.symlink_to(lock)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PIN, (lock, link)[number % 2], str(number * each), str(each)],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        )
        for number in range(processes)
    ]
    assert [process.wait(120) for process in running] == [0] * processes
    found = locked_archives(lock)
    assert [found[f"a{number}"].size for number in range(processes * each)] == list(range(processes * each))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints.lock", "other.lock"]


def test_the_projects_lock_file_is_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "project" / "deep" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert project_lock_file() is None
    assert Settings().lock == CHECKOUT / "checkpoints.lock"
    (tmp_path / "project" / "checkpoints.lock").write_text("")
    assert Settings().lock == tmp_path / "project" / "checkpoints.lock"
    (inner / "checkpoints.lock").mkdir()  # no file
    assert Settings().lock == tmp_path / "project" / "checkpoints.lock"
    assert Settings(lock_file=Path("named")).lock == Path("named")
    inner.joinpath("checkpoints.lock").rmdir()
    inner.rmdir()
    assert project_lock_file() is None
