"""`nasexport evaluate`: what it counts, in every arrangement of a data set, and how it goes on after a stop."""

import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from exporter.errors import EvaluationError
from exporter.evaluation.accuracy import Tally, wilson
from exporter.evaluation.dataset import listed
from exporter.evaluation.items import Item
from exporter.models.classes import class_names
from tests.support import pictures
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.data_sets import example

SIZE = 64
#: Ranks that the classes of the pictures get in turn: 2 of 6 right, 4 of 6 among the first five, 5 of 6 among ten.
RANKS = (0, 3, 9, 0, 4, 40)
PICTURES = 36
#: How often each is there where there must be time to stop in the middle.
REPEATS = 20


@pytest.fixture(scope="module")
def artifact(imagenet_artifacts: Path) -> Path:
    return artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 4)


@dataclass(frozen=True)
class Known:
    """Pictures whose true class is known to come at a certain place, with the network's probabilities."""

    contents: Sequence[bytes]
    labels: Sequence[int]
    shares: Any

    @property
    def wnids(self) -> list[str]:
        return [class_names()[label].wnid for label in self.labels]

    @property
    def names(self) -> list[str]:
        return [f"ILSVRC2012_val_{index + 101:08}.JPEG" for index in range(len(self.labels))]

    @property
    def ranks(self) -> list[int]:
        return [int((share > share[label]).sum()) for label, share in zip(self.labels, self.shares, strict=True)]

    def flat(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        for name, content in zip(self.names, self.contents, strict=True):
            (folder / name).write_bytes(content)
        return folder

    def folders(self, folder: Path) -> Path:
        for name, wnid, content in zip(self.names, self.wnids, self.contents, strict=True):
            (folder / wnid).mkdir(parents=True, exist_ok=True)
            (folder / wnid / name).write_bytes(content)
        return folder

    def records(self, folder: Path, shards: int) -> Path:
        """As TF-Slim writes them, one picture after the other in turn."""
        folder.mkdir(parents=True)
        for shard in range(shards):
            with tf.io.TFRecordWriter(str(folder / f"validation-{shard:05}-of-{shards:05}")) as writer:
                for index in range(shard, len(self.labels), shards):
                    writer.write(example(self.contents[index], self.labels[index], self.wnids[index]))
        return folder

    def check(self, result: Mapping[str, Any], positions: Iterable[int] | None = None) -> None:
        """Holds a result against what is known of the pictures at these positions, of all by default."""
        chosen = list(range(len(self.labels)) if positions is None else positions)
        ranks = np.array(self.ranks)[chosen]
        sure = self.shares.max(axis=1)[chosen]
        assert result["images"] == len(chosen)
        assert result["top_k"] == [pytest.approx(100 * (ranks < k).mean()) for k in range(1, 11)]
        for name, k in (("top_1", 1), ("top_5", 5)):
            assert result[name]["accuracy"] == pytest.approx(100 * (ranks < k).mean())
            published = {"top_1": 50.0, "top_5": 70.0}[name]
            assert result[name]["published"] == published
            assert result[name]["difference"] == pytest.approx(100 * (ranks < k).mean() - published)
            low, high = result[name]["interval"]
            assert 0 <= low <= result[name]["accuracy"] <= high <= 100 and low < high
        error = 0.0
        for place, held in enumerate(result["calibration"]["bins"]):
            within = (sure >= place / 10) & (sure < (place + 1) / 10)
            assert (held["from"], held["to"], held["images"]) == (place / 10, (place + 1) / 10, within.sum())
            if within.any():
                right = (ranks[within] == 0).mean()
                assert held["accuracy"] == pytest.approx(right)
                assert held["confidence"] == pytest.approx(sure[within].mean(), rel=1e-4)
                error += within.mean() * abs(right - sure[within].mean())
        assert result["calibration"]["expected_calibration_error"] == pytest.approx(error, rel=1e-3)


@pytest.fixture(scope="module")
def known(artifact: Path) -> Known:
    images = [pictures.picture(seed) for seed in range(PICTURES)]
    shares = pictures.probabilities(pictures.logits(artifact, images, SIZE))
    order = np.argsort(-shares, axis=1)
    # A class of 0, the background, is no label; the next one does.
    labels = [int(row[RANKS[index % len(RANKS)]] or row[50]) for index, row in enumerate(order)]
    return Known([pictures.encoded(image, "PNG") for image in images], labels, shares)


@pytest.fixture(scope="module")
def flat(known: Known, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return known.flat(tmp_path_factory.mktemp("flat") / "images")


@pytest.fixture(scope="module")
def wnids(known: Known, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "synset_labels.txt"
    path.write_text("".join(f"{wnid}\n" for wnid in known.wnids))
    return path


def _result(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(succeeded(process).stdout)


def test_the_pictures_are_as_the_tests_want_them(known: Known) -> None:
    assert [np.sum(np.array(known.ranks) < k) for k in (1, 5, 10)] == pytest.approx([12, 24, 30], abs=2)


@pytest.mark.parametrize("arrangement", ["folders", "records"])
def test_every_arrangement_gives_the_same_figures(
    own_cli: Command, artifact: Path, known: Known, tmp_path: Path, arrangement: str
) -> None:
    folder = known.folders(tmp_path / "set") if arrangement == "folders" else known.records(tmp_path / "set", 3)
    before = files_below(folder)
    result = own_cli("evaluate", artifact, "--images", folder, "--batch-size", 10, "--json")
    said = _result(result)
    known.check(said)
    assert (said["dataset"]["arrangement"], said["dataset"]["available"]) == (arrangement, PICTURES)
    assert (said["model"], said["broken"]) == ("tiny_imagenet", [])
    lines = [json.loads(line) for line in Path(said["state"]).read_text().splitlines()]
    assert said["devices"] == list({line["device"]: None for line in lines[1:]}) and len(said["devices"]) == 1
    assert [(line["start"], line["count"]) for line in lines[1:]] == [(0, 10), (10, 10), (20, 10), (30, 6)]
    assert said["synthetic"] == {"layout": "plain", "model": "tiny_imagenet", "seed": 0}
    assert "SYNTHETIC" in result.stderr
    # Nothing is written but the state, in the cache.
    assert files_below(folder) == before
    assert files_below(own_cli.cwd) == []
    assert Path(said["state"]).parent == own_cli.cache / "evaluations"
    assert [path.name for path in Path(said["state"]).parent.iterdir()] == [Path(said["state"]).name]


def test_a_limit_takes_images_from_all_over(
    own_cli: Command, imagenet_artifacts: Path, known: Known, tmp_path: Path
) -> None:
    # A TF1 Hub module, to see one at this work, too.
    module = artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 3)
    folder = known.records(tmp_path / "set", 1)
    args = ("evaluate", module, "--images", folder, "--limit", 7)
    said = _result(own_cli(*args, "--json"))
    known.check(said, [index * PICTURES // 7 for index in range(7)])
    assert said["dataset"]["available"] == PICTURES

    # What was finished is kept, and shown again at once; on a page, too.
    result = succeeded(own_cli(*args, "--report", "page.html"))
    page = (own_cli.cwd / "page.html").read_text(encoding="utf-8")
    assert "Reliability: accuracy over confidence" in page and "images that could not be read" in page
    assert "already finished" in result.stderr and "loading" not in result.stderr
    accuracy = said["top_1"]["accuracy"]
    for line in (
        f"images       7 of {PICTURES} in {folder} (records)",
        f"top-1        {accuracy:.2f} %, 95 % confidence {said['top_1']['interval'][0]:.2f} to ",
        f"published 50.0 %, difference {accuracy - 50:+.2f}",
        "SYNTHETIC weights, not published ones: these figures are meaningless",
        f"computed on  {said['devices'][0]}",
        said["state"],
    ):
        assert line in result.stdout


def _done(state: Path) -> int:
    """The number of images that a state says are done; half a line at its end counts for nothing."""
    lines = state.read_bytes().splitlines(keepends=True)[1:] if state.exists() else []
    return sum(json.loads(line)["count"] for line in lines if line.endswith(b"\n"))


def _wait_for(path: Path, done: int, process: subprocess.Popen[str]) -> None:
    """Returns as soon as so many images are done."""
    for _ in range(6000):
        if _done(path) >= done:
            return
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    raise AssertionError("nothing happened in a minute")


@pytest.mark.long
@pytest.mark.stops
def test_a_killed_evaluation_goes_on_where_it_was(
    own_cli: Command, artifact: Path, known: Known, flat: Path, wnids: Path
) -> None:
    # The same images many times over, for there to be time to stop in the middle.
    many = own_cli.cwd / "many"
    many.mkdir()
    for index in range(REPEATS * PICTURES):
        os.link(flat / known.names[index % PICTURES], many / f"{index:06}.png")
    labels = own_cli.cwd / "labels.txt"
    labels.write_text("\n".join(known.wnids * REPEATS))
    state = own_cli.cwd / "state.json"
    args = ("evaluate", artifact, "--images", many, "--labels", labels, "--state", state, "--json")

    alone = own_cli.with_forked_workers()
    process = alone.start(*args, "--batch-size", 2)
    _wait_for(state, 10, process)
    message = refusal(own_cli(*args))
    assert "another nasexport is running this evaluation" in message
    process.kill()
    process.communicate()
    killed_at = _done(state)
    assert 10 <= killed_at < REPEATS * PICTURES

    # Ctrl-C reaches the whole group of processes.
    process = own_cli.start(*args, "--batch-size", 4, start_new_session=True)
    _wait_for(state, killed_at + 12, process)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT and stdout == ""
    assert f"continuing after {killed_at:,} of {REPEATS * PICTURES:,} images" in stderr
    stopped_at = _done(state)
    assert killed_at < stopped_at < REPEATS * PICTURES
    assert f"stopped after {stopped_at:,} of" in stderr and "run the same command to continue" in stderr
    assert "Traceback" not in stderr

    # A polite end leaves the state as well.
    process = alone.start(*args, "--batch-size", 4)
    _wait_for(state, stopped_at + 4, process)
    process.terminate()
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM and "run the same command to continue" in stderr

    result = own_cli(*args, "--batch-size", 50)
    known.check(_result(result), list(range(PICTURES)) * REPEATS)
    assert re.search(r"continuing after [\d,]+ of 720 images", result.stderr)
    assert sorted(path.name for path in own_cli.cwd.iterdir()) == ["labels.txt", "many", "state.json"]

    # The state is of this list alone.
    labels.write_text("\n".join([known.wnids[1], *(known.wnids * REPEATS)[1:]]))
    message = refusal(own_cli(*args))
    assert "another evaluation (other images)" in message and "--restart" in message
    labels.write_text("\n".join(known.wnids * REPEATS))
    whole = state.read_text()
    twice = whole + whole.splitlines(keepends=True)[1]
    for damaged, said in {
        "{": "is not valid JSON",
        "[]": "expected a mapping with schema",
        '{"schema": 1}': "lacks identity",
        twice: "is damaged",
        json.dumps({"schema": 1, "identity": {}, "position": 7}, indent=1): "was written by an older nasexport",
    }.items():
        state.write_text(damaged)
        message = refusal(own_cli(*args))
        assert said in message and "--restart" in message
        assert state.read_text() == damaged
    # Half a line, as a killed process may leave it, counts for nothing.
    state.write_text(whole[:-20])
    assert f"continuing after {_done(state):,} of 720 images" in own_cli(*args).stderr
    known.check(_result(own_cli(*args)), list(range(PICTURES)) * REPEATS)
    assert _result(own_cli(*args, "--restart", "--limit", 4))["images"] == 4
    assert _done(state) == 4


def test_a_damaged_image_stops_it_unless_told_otherwise(
    own_cli: Command, artifact: Path, known: Known, tmp_path: Path, wnids: Path
) -> None:
    folder = known.flat(tmp_path / "images")
    broken = folder / known.names[20]
    broken.write_bytes(known.contents[20][:-100])
    args = ("evaluate", artifact, "--images", folder, "--labels", wnids, "--batch-size", 4, "--json")
    message = refusal(own_cli(*args))
    assert str(broken) in message and "not a whole PNG image" in message

    # What came before it is kept, and the damaged one can be left out.
    result = own_cli(*args, "--skip-broken")
    assert "continuing after 20 of 36 images" in result.stderr
    said = _result(result)
    assert said["broken"] == [str(broken)]
    assert str(broken) in result.stderr
    known.check(said, [index for index in range(PICTURES) if index != 20])


def test_nothing_but_damaged_images(own_cli: Command, artifact: Path, known: Known, tmp_path: Path) -> None:
    (tmp_path / "set" / "n01440764").mkdir(parents=True)
    (tmp_path / "set" / "n01440764" / "a.JPEG").write_bytes(b"text")
    args = ("evaluate", artifact, "--images", tmp_path / "set")
    assert "none of 1 image in" in refusal(own_cli(*args, "--skip-broken"))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (lambda known: example(known.contents[0], None), "lacks .*image/class/label: image/class/label is missing"),
        (lambda known: example(known.contents[0], 0), "has label 0, expected 1 to 1000"),
        (lambda known: example(known.contents[0], 490, "n01751748"), "class 490 is"),
        (lambda known: example(known.contents[0][:-99], 1, "n01440764", "val_17.JPEG"), "val_17.JPEG (.*) is damaged"),
    ],
)
def test_a_wrong_record_is_named(
    own_cli: Command, artifact: Path, known: Known, tmp_path: Path, record: Any, said: str
) -> None:
    path = tmp_path / "validation-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example(known.contents[0], known.labels[0]))
        writer.flush()
        second = path.stat().st_size
        writer.write(record(known))
    message = refusal(own_cli("evaluate", artifact, "--images", tmp_path))
    assert re.search(said, message.replace("\n", " "))
    assert f"{path}, the record at byte {second}" in message


def test_a_feature_vector_is_refused(cli: Command, imagenet_artifacts: Path, flat: Path, wnids: Path) -> None:
    folder = artifact_folder(imagenet_artifacts, "tiny_imagenet", "feature_vector", 4)
    message = refusal(cli("evaluate", folder, "--images", flat, "--labels", wnids))
    assert "feature_vector artifact" in message


def test_a_terminal_gets_a_bar(own_cli: Command, artifact: Path, known: Known, flat: Path, wnids: Path) -> None:
    # The third arrangement, too: a folder of files with a file of labels.
    terminal, end = pty.openpty()
    args = ("evaluate", artifact, "--images", flat, "--labels", wnids, "--batch-size", 6, "--json")
    process = (
        own_cli.with_variables(TERM="xterm-256color", COLUMNS="120").with_forked_workers().start(*args, stderr=end)
    )
    os.close(end)
    sent = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        sent += piece
    os.close(terminal)
    known.check(json.loads(process.communicate()[0]))
    assert process.returncode == 0
    # Loading, starting, and six batches. What is shown for less than a tenth of a second may not be seen.
    assert "━" in sent.decode() and "0/8" in sent.decode() and "loading the artifact" in sent.decode()


# What follows needs no network: the list of a data set, and the figures.


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Four files with the names of images, of which the first five are known by heart."""
    (tmp_path / "four").mkdir()
    for number in (2, 4, 5, 7):
        (tmp_path / "four" / f"ILSVRC2012_val_{number:08}.JPEG").touch()
    (tmp_path / "four" / "readme.txt").touch()
    (tmp_path / "four" / ".hidden.png").touch()
    return tmp_path / "four"


#: Of the pictures in `four`: alp, soup bowl, cradle, English foxhound or anything else.
LABELS = (971, 810, 517, 168)


def _wnid(label: int) -> str:
    return class_names()[label].wnid


_FOUR_NAMES = [f"ILSVRC2012_val_{number:08}" for number in (2, 4, 5, 7)]


@pytest.mark.parametrize(
    "lines",
    [
        [_wnid(label) for label in LABELS],
        [str(label) for label in LABELS],
        ["", *(f"{_wnid(label)}  " for label in LABELS), "", ""],
        [f"{name}.JPEG,{_wnid(label)}" for name, label in zip(_FOUR_NAMES, LABELS, strict=True)][::-1],
        [f"{name}.JPEG\t{label}" for name, label in zip(_FOUR_NAMES, LABELS, strict=True)],
        [f'"val, all/{name}.JPEG", "{_wnid(label)}"' for name, label in zip(_FOUR_NAMES, LABELS, strict=True)],
        [f"val/{name}.JPEG {label}" for name, label in zip(_FOUR_NAMES, LABELS, strict=True)],
        # Kaggle's LOC_val_solution.csv: names without an ending, boxes after the label; and of more images.
        [
            "ImageId,PredictionString",
            "ILSVRC2012_val_00000001,n01751748 111 108 441 193 ",
            *(
                f"{name},{_wnid(label)} 1 2 3 4 {_wnid(label)} 5 6 7 8 "
                for name, label in zip(_FOUR_NAMES, LABELS, strict=True)
            ),
        ],
        # TF-Slim's list of all 50,000: each image has the line that its number says.
        [
            "n01751748",
            _wnid(971),
            "n02105855",
            _wnid(810),
            _wnid(517),
            "n01630670",
            _wnid(168),
            *["n01440764"] * 49_993,
        ],
    ],
    ids=["wnids", "numbers", "blank", "csv", "tsv", "quoted", "paths", "kaggle", "all"],
)
def test_labels_come_in_many_forms(four: Path, tmp_path: Path, lines: Sequence[str]) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(lines) + "\n")
    found = listed(four, labels, 1001)
    assert list(found.items) == [
        Item(f"{name}.JPEG", None, label) for name, label in zip(_FOUR_NAMES, LABELS, strict=True)
    ]
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["n01440764"] * 3, "has 3 labels for 4 images"),
        (["n01440764"] * 5, "has 5 labels for 4 images"),
        (["n01440764", "n01440764", "n99999999", "n01440764"], "line 3 of .* has the wnid n99999999, which is none"),
        (["1", "2", "tench", "4"], "line 3 of .* has the label 'tench'"),
        (["1", "0", "3", "4"], "line 2 of .* has the label 0, expected 1 to 1000"),
        (["1", "2", "3", "1001"], "line 4 of .* has the label 1001, expected 1 to 1000"),
        (["1", "2", "3", "-4"], "line 4 of .* has the label '-4'"),
        ([f"{name}.JPEG 1" for name in _FOUR_NAMES[:3]], "has no label for 1 of 4 images; the first is .*07.JPEG"),
        ([*(f"{name}.JPEG 1" for name in _FOUR_NAMES), f"{_FOUR_NAMES[0]}.JPEG 2"], "two labels .* lines 1 and 5"),
        (["a 1", "b"], "line 2 of .* is 'b': expected a file name and a label"),
        ([], "has 0 labels for 4 images"),
    ],
)
def test_wrong_labels_are_named(cli: Command, artifact: Path, four: Path, lines: Sequence[str], said: str) -> None:
    labels = four.parent / "labels.txt"
    labels.write_text("\n".join(lines))
    message = refusal(cli("evaluate", artifact, "--images", four, "--labels", labels))
    assert re.search(said, message.replace("\n", " ")), message
    assert "labels.txt" in message


def test_labels_in_another_order_are_noticed(four: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("361\n822\n297\n13\n")  # as the development kit has them
    (warning,) = listed(four, labels, 1001).warnings
    assert "labelled as class 361" in warning and "class 971 (n09193705, alp)" in warning
    with pytest.raises(EvaluationError, match="order of the development kit"):
        listed(four, labels.rename(tmp_path / "ILSVRC2012_validation_ground_truth.txt"), 1001)


def test_what_is_no_data_set_is_refused(cli: Command, artifact: Path, four: Path, tmp_path: Path) -> None:
    def message(folder: Path, *options: object) -> str:
        return refusal(cli("evaluate", artifact, "--images", folder, *options))

    (tmp_path / "empty").mkdir()
    assert "empty holds nothing: expected folders named by wnid" in message(tmp_path / "empty")
    assert "No such file" in message(tmp_path / "absent")
    assert "pass --labels" in message(four)
    assert "cannot read the labels" in message(four, "--labels", tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    assert "it is not text" in message(four, "--labels", tmp_path / "binary.txt")

    folders = tmp_path / "folders"
    (folders / "n01440764").mkdir(parents=True)
    assert "no image in them" in message(folders)
    (folders / "n01440764" / "a.JPEG").touch()
    assert "leave out --labels" in message(folders, "--labels", four / "readme.txt")
    (folders / "n00000001").mkdir()
    assert "the folder" in message(folders) and "n00000001, which is none of" in message(folders)
    (folders / "n00000001").rename(folders / "others")
    assert "the label 'others'" in message(folders)
    assert "another evaluation" not in message(folders)
    with pytest.raises(EvaluationError, match="has 11 classes"):
        listed(folders, None, 11)

    (tmp_path / "state").mkdir()
    shutil.rmtree(folders / "others")
    assert "is a folder" in message(folders, "--state", tmp_path / "state")
    (tmp_path / "file").touch()
    assert "cannot write in" in message(folders, "--state", tmp_path / "file" / "state.json")


def test_shards_are_found_and_the_missing_ones_told(known: Known, tmp_path: Path) -> None:
    folder = known.records(tmp_path / "set", 4)
    whole = listed(folder, None, 1001)
    assert len(whole.items) == PICTURES and whole.warnings == ()
    # Other data sets beside it do not matter, and neither does where the folder is.
    shutil.copy(folder / "validation-00000-of-00004", folder / "train-00000-of-00001")
    folder = folder.rename(tmp_path / "moved")
    assert listed(folder, None, 1001).digest() == whole.digest()
    (folder / "validation-00001-of-00004").unlink()
    part = listed(folder, None, 1001)
    assert len(part.items) == PICTURES * 3 // 4
    assert part.warnings == (f"{folder} holds 3 of the 4 shards of validation",)
    assert listed(folder, None, 1001, limit=5).available == 27

    path = folder / "validation-00002-of-00004"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EvaluationError, match="00002-of-00004 is no whole TFRecord file"):
        listed(folder, None, 1001)
    path.write_bytes(b"\x1f\x8b\x08 something that was compressed")
    with pytest.raises(EvaluationError, match="compressed ones are not read"):
        listed(folder, None, 1001)


def test_a_folder_of_two_data_sets_is_refused(known: Known, tmp_path: Path) -> None:
    folder = known.records(tmp_path / "set", 2)
    (folder / "validation-00000-of-00002").rename(folder / "train-00000-of-00002")
    (folder / "validation-00001-of-00002").rename(folder / "test-00001-of-00002")
    with pytest.raises(EvaluationError, match="holds several data sets"):
        listed(folder, None, 1001)


@pytest.mark.parametrize(
    ("right", "images", "low", "high"),
    # Newcombe 1998, table I, the score method without continuity correction.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_those_of_the_literature(right: int, images: int, low: float, high: float) -> None:
    assert wilson(right, images) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


def test_a_tally_is_the_same_in_any_pieces() -> None:
    generator = random.Random(0)
    ranks = [generator.randrange(20) for _ in range(1000)]
    # Multiples of 1/64 add up without rounding.
    confidences = [generator.randrange(65) / 64 for _ in range(1000)]
    whole, pieces = Tally(), Tally()
    whole.add(ranks, confidences)
    for start in range(0, 1000, 7):
        pieces.add(ranks[start : start + 7], confidences[start : start + 7])
        pieces = Tally(**json.loads(json.dumps(pieces.to_dict())))
    assert pieces == whole
    assert sum(held["images"] for held in whole.calibration()["bins"]) == 1000
    assert whole.right(10) == sum(rank < 10 for rank in ranks)
