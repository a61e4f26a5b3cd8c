"""`nasexport embed`: the network's own vectors, whatever the images lie in, and how it goes on after a stop."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from numpy.typing import NDArray

from exporter.models.classes import class_of_wnid
from tests.artifact.test_keras_artifact import output as keras_artifacts  # noqa: F401
from tests.artifact.test_litert_artifact import artifact as litert_classifier  # noqa: F401
from tests.artifact.test_onnx_artifact import output as onnx_artifacts  # noqa: F401
from tests.support import data_sets, pictures
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded

SIZE, PICTURES = 64, 7
NAMES = [f"{number}.png" for number in range(PICTURES)]
WNID = "n01440764"


@pytest.fixture(scope="module")
def artifact(imagenet_artifacts: Path) -> Path:
    return artifact_folder(imagenet_artifacts, "tiny_imagenet", "feature_vector", 4)


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    return [pictures.encoded(pictures.picture(seed), "PNG") for seed in range(PICTURES)]


@pytest.fixture(scope="module")
def expected(artifact: Path) -> NDArray[np.float32]:
    images = [pictures.network_input(np.asarray(pictures.picture(seed)), SIZE) for seed in range(PICTURES)]
    return np.asarray(hub.load(str(artifact))(np.stack(images).astype(np.float32)))


@pytest.fixture(scope="module")
def litert_artifacts(litert_classifier: Path) -> Path:  # noqa: F811
    return litert_classifier.parents[4]


def _folder(folder: Path, contents: Sequence[bytes]) -> Path:
    """Some pictures in a folder of a class, some deeper, some at the top."""
    for place, (name, content) in enumerate(zip(NAMES, contents, strict=True)):
        path = folder / ("", WNID, "more/deep")[place % 3] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def images(contents: Sequence[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _folder(tmp_path_factory.mktemp("pictures") / "set", contents)


def _rows(path: Path) -> dict[str, tuple[Any, NDArray[np.float32]]]:
    """The label and the vector of each picture in a table of Parquet, by the name of its file."""
    table = pq.read_table(path)
    labels = table["label"].to_pylist() if "label" in table.column_names else [None] * len(table)
    vectors = np.asarray(table["features"].combine_chunks().values).reshape(len(table), -1)
    rows = zip(table["path"].to_pylist(), labels, vectors, strict=True)
    return {name: (label, vector) for name, label, vector in rows}


def _check(rows: Mapping[str, tuple[Any, NDArray[np.float32]]], expected: NDArray[np.float32]) -> None:
    found = {Path(name.partition("#")[0]).name: vector for name, (_, vector) in rows.items()}
    assert sorted(found) == NAMES
    for place, name in enumerate(NAMES):
        np.testing.assert_allclose(found[name], expected[place], rtol=0, atol=1e-5)


@pytest.mark.long
def test_vectors_are_those_of_the_network(
    own_cli: Command,
    artifact: Path,
    imagenet_artifacts: Path,
    images: Path,
    expected: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(images, tmp_path / "set")
    (folder / "more" / "cut.png").write_bytes((folder / NAMES[0]).read_bytes()[:-50])
    args = ("embed", artifact, "--images", folder, "--output", "features.parquet", "--batch-size", 3)
    message = refusal(own_cli(*args))
    assert "cut.png is damaged" in message

    result = succeeded(own_cli(*args, "--skip-broken", "--json"))
    assert "continuing after" in result.stderr and "cut.png" in result.stderr and "SYNTHETIC" in result.stderr
    said = json.loads(result.stdout)
    assert (said["rows"], said["width"], said["batch_size"]) == (PICTURES, expected.shape[1], 3)
    assert [lost["path"] for lost in said["broken"]] == ["more/cut.png"]
    assert "is damaged" in said["broken"][0]["problem"]
    assert said["images"]["count"] == PICTURES + 1 and said["handle"].endswith("feature_vector/4")
    assert said["versions"]["tensorflow"] == tf.__version__
    assert files_below(own_cli.cwd) == ["features.parquet", "features.parquet.json"]
    record = json.loads((own_cli.cwd / "features.parquet.json").read_text())
    assert {key: said[key] for key in record} == record

    rows = _rows(own_cli.cwd / "features.parquet")
    _check(rows, expected)
    assert list(rows) == sorted(rows)
    assert {name: label for name, (label, _) in rows.items() if label is not None} == {
        f"{WNID}/{name}": class_of_wnid()[WNID] for name in NAMES[1::3]
    }
    assert json.loads(pq.read_schema(own_cli.cwd / "features.parquet").metadata[b"nasexport"]) == said["identity"]

    # What is finished stays, and is of this artifact, these images and this size of batches alone.
    result = succeeded(own_cli(*args))
    assert "already finished" in result.stderr and "loading" not in result.stderr
    assert f"{PICTURES} of {expected.shape[1]} numbers, float32" in result.stdout
    other = tmp_path / "other"
    shutil.copytree(artifact, other)
    (other / "saved_model.pb").write_bytes((other / "saved_model.pb").read_bytes() + b"\x42\x00")
    for change, what in {
        ("embed", other, *args[2:]): "other artifact)",
        (*args, "--limit", 3): "other images)",
        (*args[:-1], 4): "other batch_size)",
    }.items():
        message = refusal(own_cli(*change))
        assert "features.parquet belongs to another embedding" in message and what in message
        assert "--restart" in message
    succeeded(own_cli(*args, "--limit", 3, "--restart"))
    assert len(_rows(own_cli.cwd / "features.parquet")) == 3

    message = refusal(
        own_cli("embed", artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 4), *args[2:])
    )
    assert "use the feature_vector artifact" in message
    (own_cli.cwd / "mine.parquet").write_bytes(b"mine")
    message = refusal(own_cli(*args[:4], "--output", "mine.parquet"), 3)
    assert "nothing says what is in it" in message and (own_cli.cwd / "mine.parquet").read_bytes() == b"mine"
    (own_cli.cwd / "mine").mkdir()
    (own_cli.cwd / "mine" / "mine.txt").touch()
    args = (*args[:4], "--output", "mine", "--limit", 3)
    assert "nothing says what is in it" in refusal(own_cli(*args), 3)
    succeeded(own_cli(*args, "--restart"))
    assert files_below(own_cli.cwd / "mine") == ["index.jsonl", "mine.txt", "part-000000000.npy", "record.json"]


@pytest.mark.long
def test_the_same_bits_whatever_the_images_lie_in(
    own_cli: Command,
    artifact: Path,
    images: Path,
    contents: Sequence[bytes],
    expected: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    samples = list(zip(NAMES, contents, range(PICTURES), strict=True))
    records = data_sets.records(tmp_path / "records", (samples[:4], samples[4:]))
    tars = data_sets.tars(tmp_path / "tars", (samples[:3], samples[3:]))
    listing = tmp_path / "list.csv"
    paths = {path.name: path for path in images.rglob("*.png")}
    listing.write_text("path,label\n" + "".join(f'"{paths[name]}",{place}\n' for place, name in enumerate(NAMES)))
    found: dict[str, NDArray[np.float32]] = {}
    for number, source in enumerate((records, records / "train", tars, listing)):
        output = f"{number}.parquet"
        succeeded(own_cli("embed", artifact, "--images", source, "--output", output, "--batch-size", 3))
        rows = _rows(own_cli.cwd / output)
        _check(rows, expected)
        assert [label for label, _ in rows.values()] == list(range(PICTURES))
        found[output] = np.stack([vector for _, vector in rows.values()])
    assert all(np.array_equal(vectors, found["0.parquet"]) for vectors in found.values())

    # The other outputs have the same, too.
    args = ("embed", artifact, "--images", tars, "--batch-size", 3, "--output")
    succeeded(own_cli(*args, "parts"))
    names = ["index.jsonl", *(f"part-{start:09}.npy" for start in (0, 3, 6)), "record.json"]
    assert files_below(own_cli.cwd / "parts") == names
    lines = [json.loads(line) for line in (own_cli.cwd / "parts" / "index.jsonl").read_text().splitlines()]
    assert [path for line in lines for path in line["paths"]] == [
        f"{shard:06}.tar/{name}" for shard, names in enumerate((NAMES[:3], NAMES[3:])) for name in names
    ]
    held = np.concatenate([np.load(own_cli.cwd / "parts" / line["part"]) for line in lines])
    assert np.array_equal(held, found["0.parquet"])

    succeeded(own_cli(*args, "features.tfrecord"))
    examples = [
        tf.train.Example.FromString(content.numpy()).features.feature
        for content in tf.data.TFRecordDataset(str(own_cli.cwd / "features.tfrecord"))
    ]
    assert [list(one["label"].int64_list.value) for one in examples] == [[place] for place in range(PICTURES)]
    held = np.array([one["features"].float_list.value for one in examples], np.float32)
    assert np.array_equal(held, found["0.parquet"])


@pytest.mark.long
@pytest.mark.parametrize("format_", ["onnx", "keras", "litert"])
def test_every_format_gives_the_same_vectors(
    request: pytest.FixtureRequest, own_cli: Command, tiny_artifacts: Path, images: Path, format_: str
) -> None:
    artifacts: Path = request.getfixturevalue(f"{format_}_artifacts")
    found = []
    for output, name, version in ((tiny_artifacts, "saved_model", 4), (artifacts, format_, format_)):
        artifact = artifact_folder(output, "tiny_nasnet", "feature_vector", version)
        command = ("embed", artifact, "--images", images, "--batch-size", 3, "--output", name, "--json")
        said = json.loads(succeeded(own_cli(*command)).stdout)
        # What TensorFlow does not run does without it.
        assert said["preprocessing"]["decoder"] == ("Pillow" if name in ("onnx", "litert") else "TensorFlow")
        assert ("tensorflow" in said["versions"]) == (name not in ("onnx", "litert"))
        parts = sorted((own_cli.cwd / name).glob("*.npy"))
        found.append(np.concatenate([np.load(part) for part in parts]))
    assert len(found[0]) == PICTURES
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-4 * np.abs(found[0]).max())


def test_what_cannot_be_is_said_before_anything_is_computed(
    own_cli: Command, artifact: Path, images: Path, tmp_path: Path
) -> None:
    def message(source: Path, *more: object) -> str:
        result = own_cli("embed", artifact, "--images", source, "--output", "features.parquet", *more)
        assert "loading" not in result.stderr
        return refusal(result)

    (tmp_path / "empty").mkdir()
    assert "holds no image" in message(tmp_path / "empty")
    assert "No such file" in message(tmp_path / "absent")
    assert "is one picture" in message(images / NAMES[0])
    (tmp_path / "features.parquet").mkdir()
    assert "is a folder" in message(images, "--output", tmp_path / "features.parquet")
    (tmp_path / "file").touch()
    assert "is a file: expected a folder, or a name that ends in .parquet" in message(
        images, "--output", tmp_path / "file"
    )
    hidden = own_cli.with_program_first("import sys\nsys.modules['pyarrow'] = None\n", tmp_path)
    result = hidden("embed", artifact, "--images", images, "--output", "features.parquet")
    assert "pip install 'nasexport[parquet]'" in refusal(result, 3)
    assert files_below(own_cli.cwd) == []


def test_a_missing_image_is_never_a_broken_one(own_cli: Command, artifact: Path, images: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(f"{images / NAMES[0]}\n{images / 'gone.png'}\n")
    args = ("embed", artifact, "--images", listing, "--output", "features.parquet", "--skip-broken")
    message = refusal(own_cli(*args))
    assert "gone.png is missing: the list of images is of other files" in message
