"""Releases that a forger made: whatever can be computed anew was, and still none of them is taken for right."""

import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.models.config import models
from exporter.release.check import check
from exporter.release.identity import as_json
from exporter.release.manifest import Place
from tests.support.command import Command, refusal
from tests.support.forgery import (
    HUB,
    NASNET,
    SISTER,
    edited,
    exchange,
    leave,
    rederive,
    rederive_report,
    rehash,
    repack,
)

LARGE = Place("google/imagenet/nasnet_large/classification/4")


def _swap(release: Path) -> None:
    """Each task's artifact under the handle of the other, which it says is its own."""
    exchange(release / NASNET.folder, release / SISTER.folder)
    for place in (NASNET, SISTER):
        with edited(release / place.folder / "nasexport.json") as said:
            said["handle"] = place.handle
        repack(release, place.handle)
    rehash(release)


def _swap_with_metadata(release: Path) -> None:
    exchange(release / NASNET.folder, release / SISTER.folder)
    for place in (NASNET, SISTER):
        rederive(release, place.handle)


def _tiny_as_large(release: Path) -> None:
    """A network of one cell under nasnet_large's handle, with nasnet_large's configuration."""
    for name in ("folder", "archive", "page", "page_html", "report", "record"):
        target = release / getattr(LARGE, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(release / getattr(NASNET, name), target)
    text = (release / LARGE.report).read_text().replace("small_nasnet", "nasnet_large")
    (release / LARGE.report).write_text(text)
    with edited(release / LARGE.record) as record:
        record["handle"], record["model"] = LARGE.handle, "nasnet_large"
        record["inputs"]["config"] = as_json(models()["nasnet_large"])
        for file in record["files"]:
            file["path"] = file["path"].replace("small_nasnet", "nasnet_large")
        for name in ("archive", "page", "page_html", "report"):
            record[name]["path"] = record[name]["path"].replace("small_nasnet", "nasnet_large")
    rederive(release, LARGE.handle)


def _in_record(change: Callable[[dict], object], anew: bool = False) -> Callable[[Path], None]:
    """Changes a record; ``anew`` is whether all that follows from it is made anew, or its hash alone."""

    def forge(release: Path) -> None:
        with edited(release / NASNET.record) as record:
            change(record)
        rederive(release, NASNET.handle) if anew else rehash(release)

    return forge


def _in_text(path: str, old: str | re.Pattern[str], new: str) -> Callable[[Path], None]:
    pattern = re.compile(re.escape(old)) if isinstance(old, str) else old

    def forge(release: Path) -> None:
        text, count = pattern.subn(lambda _: new, (release / path).read_text(encoding="utf-8"), count=1)
        assert count
        (release / path).write_text(text, encoding="utf-8")
        if path.startswith("google/"):
            rehash(release)

    return forge


def _link_to_variables(release: Path) -> None:
    outside = release.parent / "outside"
    shutil.move(release / NASNET.folder / "variables", outside)
    (release / NASNET.folder / "variables").symlink_to(outside)


def _link_to_page(release: Path) -> None:
    outside = release.parent / "outside.html"
    shutil.move(release / NASNET.page_html, outside)
    (release / NASNET.page_html).symlink_to(outside)


def _link_inside(release: Path) -> None:
    (release / "latest").symlink_to("google")


def _without_assets(release: Path) -> None:
    (release / NASNET.folder / "assets").rmdir()
    repack(release, NASNET.handle)
    rehash(release)


def _one_file_more(release: Path) -> None:
    """A program beside the model, in the record and in the archive, too."""
    (release / NASNET.folder / "assets" / "run.py").write_text("print('hello')\n")
    rederive(release, NASNET.handle)


def _hidden_in_archive(release: Path) -> None:
    """The same files, and an empty folder more, as the last member."""
    folder = release / NASNET.folder
    with tarfile.open(release / NASNET.archive, "w:gz") as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)
        archive.addfile(tarfile.TarInfo("..."))
    rehash(release)


def _bytes_after_archive(release: Path) -> None:
    with open(release / NASNET.archive, "ab") as file:
        file.write(b"\0" * 512)
    rehash(release)


def _endless(release: Path) -> None:
    """Weights that take no place on disk, and an hour to be read."""
    path = f"{NASNET.folder}/variables/variables.data-00000-of-00001"
    os.truncate(release / path, 2**40)
    with edited(release / NASNET.record) as record, edited(release / "manifest.json") as manifest:
        listed = next(row for row in manifest["artifacts"] if row["handle"] == NASNET.handle)
        for file in (*record["files"], *listed["files"]):
            if file["path"] == path:
                file["size"] = 2**40


def _pipe(release: Path) -> None:
    """Who opened it would wait for ever."""
    (release / NASNET.page).unlink()
    os.mkfifo(release / NASNET.page)


def _shorter_sums(release: Path) -> None:
    path = release / "SHA256SUMS"
    os.truncate(path, path.stat().st_size - 1)


def _other_packages(release: Path) -> None:
    path = release / "provenance.json"
    with edited(path) as statement:
        statement["predicate"]["runDetails"]["builder"]["id"] = "https://github.com/actions/runner"


def _check(record: dict, name: str = "output, relative difference") -> dict:
    return next(each for each in record["checks"] if each["name"] == name)


def _published_source(record: dict) -> None:
    for source in (record["source"], record["inputs"]["checkpoint"]):
        source["archive"] = "nasnet-a_large_04_10_2017.tar.gz"
    record["source"]["synthetic"] = None


#: What is forged, and what tells it: the files alone.
FORGERIES: dict[str, tuple[Callable[[Path], object], str]] = {
    "tasks that have changed places": (_swap, "nasexport.json, line"),
    "a tiny network as nasnet_large": (_tiny_as_large, "expected the 355,"),
    "a record of another model": (_in_record(lambda record: record.update(model="small_pnasnet")), "model is small_pn"),
    "a record of another version": (_in_record(lambda record: record.update(version=5)), "it says that it is small_na"),
    "a record of another task": (_in_record(lambda record: record.update(task="feature_vector")), "it says that it is"),
    "a record of another format": (_in_record(lambda record: record.update(format="hub")), "format is hub, expected"),
    "a check that failed": (_in_record(lambda record: _check(record).update(figure=1, passed=False)), "not pass"),
    "a failed check called passed": (_in_record(lambda record: _check(record).update(figure=1)), "the contrary"),
    "one check less": (_in_record(lambda record: record["checks"].pop()), "nasexport.json, line"),
    "a source in the record alone": (_in_record(_published_source), "nasexport.json, line"),
    "another batch norm momentum": (
        _in_record(lambda record: record["options"].update(batch_norm_momentum=0.5)),
        "batch_norm_momentum is 0.5, expected 0.99",
    ),
    "a script on the index page": (_in_text("index.html", "</body>", "<script>x</script></body>"), "index.html, line"),
    "a word on a model page": (_in_text(NASNET.page, "SYNTHETIC", "PUBLISHED"), "4.md, line"),
    "a link on a model page": (
        _in_text(NASNET.page_html, "https://arxiv.org", "https://arxiv.example"),
        "4.html, line",
    ),
    "a script in a plot": (_in_text(NASNET.report, "</svg>\n</figure>", "<script/></svg>\n</figure>"), "4.report.html"),
    # Which difference it tells depends on the processor that computed it.
    "a figure in a report": (
        _in_text(NASNET.report, re.compile(r">\d\.\d+e-\d\d<"), ">1.23e-09<"),
        "4.report.html, line",
    ),
    "another builder": (_other_packages, "provenance.json, line"),
    "sums that are a byte shorter": (_shorter_sums, "SHA256SUMS, line"),
    "a folder that leads outside": (_link_to_variables, "4/variables is a link, expected a folder"),
    "a page that lies outside": (_link_to_page, "4.html is a link, expected a file"),
    "a link to a folder of its own": (_link_inside, "latest does not belong there: it is a link"),
    "an empty folder": (lambda release: (release / "google/imagenet/more").mkdir(), "more does not belong there"),
    "no assets": (_without_assets, "4/assets is missing, a folder"),
    "a pipe for a page": (
        _pipe,
        "4.md is a device, a pipe or a socket, expected a file",
    ),
    "weights of 1 TB": (_endless, "bytes, more than any artifact"),
    "a program in the artifact": (_one_file_more, "it lists 'google/imagenet/small_nasnet/classification/4/assets/run"),
    "an archive with a member more": (_hidden_in_archive, "is not what google/imagenet/small_nasnet/classification/4"),
    "bytes after an archive": (_bytes_after_archive, "is not what google/imagenet/small_nasnet/classification/4 gives"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_told_by_the_files(own_cli: Command, copied: Path, forgery: str) -> None:
    forge, told = FORGERIES[forgery]
    forge(copied)
    result = own_cli("release", "verify", copied, "--files-only")
    assert result.returncode == 1, result.stderr
    assert told in result.stdout
    assert "FAILED" in result.stdout.splitlines()[-1]
    assert "Traceback" not in result.stderr


def _forged_facts(record: dict) -> None:
    """Weights that are said to be the published ones, and a check that lets more pass."""
    _published_source(record)
    _check(record).update(figure=0.5, tolerance=1.0)


def _one_check_less(record: dict) -> None:
    record["checks"].remove(_check(record, "variables with other values"))


@pytest.mark.long
def test_a_forgery_without_contradictions_is_told_by_the_checkpoint(
    own_cli: Command, inputs: list[object], copied: Path
) -> None:
    """All at once: two artifacts that have changed places; a source and a tolerance that are not true; a check less,
    and a graph with a field that no reader knows, which does the same and is not the one that was made.
    """
    later, feature = (Place(f"google/imagenet/small_nasnet/{task}/5") for task in ("classification", "feature_vector"))
    handles = {place.handle for place in (NASNET, SISTER, later, feature)}
    leave(copied, handles)
    with open(copied / feature.folder / "saved_model.pb", "ab") as file:
        file.write(b"\xfa\x7f\x04more")
    for place, change in ((later, _forged_facts), (feature, _one_check_less)):
        with edited(copied / place.record) as record:
            change(record)
    _swap_with_metadata(copied)
    for place in (later, feature):
        rederive(copied, place.handle)
    for handle in handles:
        rederive_report(copied, handle)
    assert [str(each) for each in check(copied) if not each.passed] == []
    result = own_cli("release", "verify", copied, *inputs[2:4], "--rebuild", "--json")
    assert result.returncode == 1, result.stderr
    reports = json.loads(result.stdout)["artifacts"]
    failed = {
        row["path"]: {each["name"]: each["detail"] for each in row["checks"] if not each["passed"]} for row in reports
    }
    facts = "facts about its checkpoint that are not those of this one"
    verdicts = "checks it says it passed that are not these"
    rebuilt = "files that an export does not give"
    assert set(failed[later.handle]) == {facts, verdicts}
    assert "archive is 'nasnet-a_large" in failed[later.handle][facts]
    assert "synthetic is None, of this checkpoint {" in failed[later.handle][facts]
    assert "'output, relative difference' of its own" in failed[later.handle][verdicts]
    assert set(failed[feature.handle]) == {verdicts, rebuilt}
    assert "'variables with other values' is missing" in failed[feature.handle][verdicts]
    assert failed[feature.handle][rebuilt] == "saved_model.pb"
    for place in (NASNET, SISTER):
        assert {"variables named differently", rebuilt} <= set(failed[place.handle])


def test_other_packages_give_other_bytes(own_cli: Command, inputs: list[object], copied: Path) -> None:
    with edited(copied / HUB.record) as record:
        record["inputs"]["packages"]["numpy"] = "1.26.0"
    rehash(copied)
    options = [inputs[index] for index in (2, 3, 6, 7)]
    message = refusal(own_cli("release", "verify", copied, *options, "--rebuild"), 3)
    assert "small_pnasnet/classification/1 was written with numpy 1.26.0, not" in message
    result = own_cli("release", "verify", copied, "--files-only", "--rebuild")
    assert result.returncode == 2 and "--files-only rules out" in result.stderr
