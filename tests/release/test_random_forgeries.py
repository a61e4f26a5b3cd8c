"""Changes at random to a release, whose hashes are made anew: none may be taken for right."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporter.errors import NasexportError
from exporter.release.check import check
from tests.support.command import Result
from tests.support.forgery import HUB, NASNET, SISTER, edited, leave, records_below, rederive, rederive_report, rehash
from tests.support.odd_values import ANYTHING, changed, places
from tests.support.small_release import hashes


@pytest.fixture(scope="module")
def two(released: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of two artifacts, one of each format, which no test may change."""
    release = shutil.copytree(released[0], tmp_path_factory.mktemp("two") / "release")
    leave(release, {NASNET.handle, HUB.handle})
    assert all(each.passed for each in check(release))
    return release


def _is_refused(release: Path) -> bool:
    try:
        return not all(each.passed for each in check(release))
    except NasexportError:
        return True


@pytest.fixture
def copy(two: Path, tmp_path: Path) -> Callable[[], Path]:
    def make() -> Path:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        return shutil.copytree(two, tmp_path / "copy")

    return make


#: Nothing in a release bears them out; a signature does.
_UNPROVEN = ("packages",)
_FREE = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.long
@_FREE
@given(data=st.data())
def test_no_field_can_be_changed(copy: Callable[[], Path], two: Path, data: st.DataObject) -> None:
    """In any JSON of the release, with all hashes made anew."""
    release = copy()
    paths = [*records_below(release), *release.glob("google/imagenet/*/*/*/nasexport.json")]
    paths += [release / "manifest.json", release / "provenance.json"]
    path = data.draw(st.sampled_from(paths))
    value = json.loads(path.read_text(encoding="utf-8"))
    place = data.draw(st.sampled_from([place for place in places(value) if place]))
    assume(not any(name in place for name in _UNPROVEN))
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    new = data.draw(ANYTHING | st.sampled_from([0, 1, 4, 5, "x", "hub", True, False, None]))

    def apply(parent: object, key: object) -> None:
        if change == "remove":
            del parent[key]  # type: ignore[attr-defined]
        elif change == "replace":
            parent[key] = new  # type: ignore[index]
        elif isinstance(parent, dict):
            parent["more"] = new
        else:
            parent.append(new)  # type: ignore[attr-defined]

    wrong = changed(value, place, apply)
    assume(wrong != value)
    path.write_text(json.dumps(wrong, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    if path.name not in ("manifest.json", "provenance.json") and data.draw(st.booleans(), "hashes anew"):
        rehash(release)
    assume(hashes(release) != hashes(two))
    assert _is_refused(release)


#: What the rest of a record, its handle or the model decide: places, and what a forger may want there.
_DECIDED: dict[tuple[str | int, ...], list[object]] = {
    ("handle",): [
        SISTER.handle,
        HUB.handle,
        "google/imagenet/nasnet_large/classification/4",
        "google/imagenet/small_nasnet/classification/5",
    ],
    ("model",): ["small_pnasnet", "nasnet_large", "other"],
    ("task",): ["feature_vector"],
    ("version",): [1, 5, 6],
    ("format",): ["hub", "saved_model_2"],
    ("options", "batch_norm_momentum"): [0.5, 1, 10**400],
    ("inputs", "task"): ["feature_vector"],
    ("inputs", "version"): [1, 5],
    ("inputs", "options", "batch_norm_momentum"): [0.5],
    ("inputs", "nasexport"): ["99.0"],
    ("inputs", "code"): ["0" * 64],
    ("inputs", "packages", "numpy"): ["newest", ""],
    ("inputs", "config", "name"): ["nasnet_large", "other"],
    ("inputs", "config", "versions"): [{"6": "hub"}],
    ("inputs", "checkpoint", "archive"): [None, "other.tar.gz"],
    ("source", "archive"): [None, "../x", "a/b", "x\x1b"],
    ("source", "archive_sha256"): [None, "0" * 64],
    ("source", "files"): [{}, {"../x": "0" * 64}],
    ("source", "layout"): ["best"],
    ("source", "variables_from_averages"): [1, 10**6],
    ("source", "synthetic"): [{}],
    ("checks", 0, "passed"): [False],
    ("checks", 0, "figure"): [1, None, -1, 10**400],
    ("checks", 0, "tolerance"): [-1, 10**400],
    ("files",): [[]],
    ("archive", "path"): ["google/imagenet/other.tar.gz"],
    ("page", "path"): ["index.html"],
    ("page_links", "base_url"): ["https://models.example.org", "javascript:1"],
    ("page_links", "artifacts"): [["classification/5"], ["feature_vector/5"], ["x"]],
}


@pytest.mark.long
@_FREE
@given(data=st.data())
def test_no_fact_can_be_changed_with_all_else_anew(copy: Callable[[], Path], two: Path, data: st.DataObject) -> None:
    """What follows from the record is made anew, too, as far as it can be."""
    release = copy()
    where = data.draw(st.sampled_from([NASNET, HUB]))
    place = data.draw(st.sampled_from([*_DECIDED]))
    value = data.draw(st.sampled_from(_DECIDED[place]))
    with edited(release / where.record) as record:
        parent = record
        for key in place[:-1]:
            parent = parent[key]
        assume(parent[place[-1]] != value)
        parent[place[-1]] = value
    try:
        rederive(release, where.handle)
        rederive_report(release, where.handle)
    except Exception:  # no release can be made of it
        rehash(release)
    assume(hashes(release) != hashes(two))
    assert _is_refused(release)


@pytest.mark.long
@_FREE
@given(data=st.data())
def test_no_byte_can_be_changed(copy: Callable[[], Path], two: Path, data: st.DataObject) -> None:
    release = copy()
    path = data.draw(st.sampled_from(sorted(path for path in release.rglob("*") if path.is_file())))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "append", "insert", "empty"]))
    if change == "flip":
        content[at] ^= data.draw(st.integers(1, 255))
    elif change == "cut":
        del content[at:]
    elif change == "empty":
        content.clear()
    else:
        added = data.draw(st.binary(min_size=1, max_size=20) | st.just(b"<script>"))
        content = content[:at] + added + content[at:] if change == "insert" else content + added
    path.write_bytes(content)
    # The numbers in the plots of a report are what no file bears out.
    anew = path.name.endswith((".md", ".html", ".tar.gz", "nasexport.json")) and not (
        change == "flip" and path.name.endswith(".report.html")
    )
    if anew and path.parent != release:
        rehash(release)
    assume(hashes(release) != hashes(two))
    assert _is_refused(release)


@_FREE
@given(data=st.data())
def test_no_name_can_be_changed(copy: Callable[[], Path], data: st.DataObject) -> None:
    release = copy()
    below = sorted(release.rglob("*"))
    folder = data.draw(st.sampled_from([release, *(path for path in below if path.is_dir())]))
    victim = data.draw(st.sampled_from(below))
    name = data.draw(st.text("abc.1 \n\x1b-é", min_size=1, max_size=8).filter(lambda text: text not in (".", "..")))
    new = folder / name
    assume(not new.exists())
    change = data.draw(st.sampled_from(["file", "folder", "link", "rename", "remove", "to link", "to folder", "copy"]))
    if change == "file":
        new.touch()
    elif change == "folder":
        new.mkdir()
    elif change == "link":
        new.symlink_to(victim)
    elif change == "rename":
        assume(victim not in (new, *new.parents))
        victim.rename(new)
    elif change == "copy":
        assume(victim.is_file())
        shutil.copy(victim, new)
    elif change == "to link":
        aside = release.parent / f"aside-{release.name}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        shutil.move(victim, aside / "moved")
        victim.symlink_to(aside / "moved")
    elif victim.is_dir():
        shutil.rmtree(victim)
    else:
        victim.unlink()
        if change == "to folder":
            victim.mkdir()
    assert _is_refused(release)
