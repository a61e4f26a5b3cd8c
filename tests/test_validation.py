"""Files with anything in the place of anything: each is read as its type, or refused with the field that is wrong."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.artifact.metadata import METADATA_FILE, read_metadata
from exporter.errors import ArtifactError, ConfigError, EvaluationError, NasexportError, ReleaseError
from exporter.evaluation.evaluation import Evaluation
from exporter.fetch.cache import RECORD, ArchiveRecord, UnpackedRecord, read_record
from exporter.fetch.lock import locked_archives
from exporter.models.config import model
from exporter.release.manifest import MANIFEST_FILE, manifest, read_manifest
from exporter.settings import CONFIG_VARIABLE, read_config
from exporter.validation import to_plain
from tests.support import records
from tests.support.fixtures import TINY_IMAGENET
from tests.support.odd_values import ANYTHING, TEXT, changed, places

_SHA256 = "0123456789abcdef" * 4
_ARTIFACT = records.ARTIFACTS[0]
_PIN = {"url": "https://example.org/a.tar.gz", "size": 7, "sha256": _SHA256, "files": {"model.ckpt.index": _SHA256}}
_EVALUATION: dict[str, Any] = {
    "schema": 1,
    "identity": {"artifact": "a", "images": "b", "model": None},
    "artifact": "some/folder",
    "folder": "images",
    "total": 10,
    "position": 4,
    "broken": ["x.jpg"],
    "tally": {
        "images": 3,
        "ranks": [2, 0, 1, *[0] * 7],
        "bin_images": [*[0] * 8, 1, 2],
        "bin_right": [*[0] * 8, 0, 2],
        "bin_confidence": [*[0.0] * 8, 0.85, 1.9],
    },
}


@dataclass(frozen=True)
class Kind:
    """A kind of file: what one of it holds, how that is written, what reads it, and how it refuses."""

    name: str
    value: Any
    written: Callable[[Any], str]
    read: Callable[[Path], object]
    error: type[NasexportError]


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value).lower()  # null is no TOML: then it is not valid


def _toml_file(value: Any) -> str:
    if not isinstance(value, dict):
        return _toml(value)
    return "".join(f"{_toml(str(key))} = {_toml(item)}\n" for key, item in value.items())


def _read_config(path: Path) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG_VARIABLE, str(path))
        return read_config()


def _read_evaluation(path: Path) -> object:
    dataset: Any = SimpleNamespace(items=[None] * 10)
    classifier: Any = None
    evaluation = Evaluation(classifier, dataset, _EVALUATION["identity"], path)
    evaluation.load()
    if evaluation.tally.images:
        assert 0 <= evaluation.tally.top(5, None)["accuracy"] <= 100
        evaluation.tally.calibration()
    return evaluation


KINDS = {
    "configuration": Kind(
        "network.yaml", TINY_IMAGENET, lambda value: yaml.safe_dump(value), lambda path: model(str(path)), ConfigError
    ),
    "settings": Kind(
        "config.toml",
        {
            **{"cache-dir": "a", "lock-file": "b", "mirror": ["c", "d"], "offline": True},
            **{"frozen": False, "timeout": 2.5, "retries": 3},
        },
        _toml_file,
        _read_config,
        ConfigError,
    ),
    "lock file": Kind(
        "checkpoints.lock", {"checkpoint": {"a": _PIN, "b": {"url": "c"}}}, _toml_file, locked_archives, ConfigError
    ),
    "metadata": Kind(
        METADATA_FILE,
        to_plain(records.metadata(*_ARTIFACT)),
        json.dumps,
        lambda path: read_metadata(path.parent),
        ArtifactError,
    ),
    "manifest": Kind(
        MANIFEST_FILE,
        manifest([records.record(*_ARTIFACT), records.record(*records.ARTIFACTS[1])], "1.2.3"),
        json.dumps,
        lambda path: read_manifest(path.parent),
        ReleaseError,
    ),
    "evaluation": Kind("state.json", _EVALUATION, json.dumps, _read_evaluation, EvaluationError),
}


def _outcome(kind: Kind, value: Any, folder: Path) -> str:
    """What is said of a file with ``value``; empty where it is taken."""
    path = folder / kind.name
    path.write_text(kind.written(value), encoding="utf-8")
    try:
        kind.read(path)
    except kind.error as error:
        said = str(error)
        assert said.startswith((str(path), f"{folder} has no"))
        assert 1 <= len(said.splitlines()) <= 2
        assert said.replace("\n", "").isprintable()
        assert len(said) < 1000
        return said
    return ""


def _is_named(place: tuple[Any, ...], said: str) -> bool:
    """Whether a message is about the field at ``place``, or about what it does not fit together with."""
    if not place or any(text in said for text in ("is not valid", "needs another nasexport", "another evaluation")):
        return True
    names = [key for key in place if isinstance(key, str)]
    return any(name in said for name in names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_file_as_it_should_be_is_taken(folder: Path, kind: Kind) -> None:
    assert _outcome(kind, kind.value, folder) == ""


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_the_place_of_any_field_is_taken_or_refused_by_its_name(
    folder: Path, kind: Kind, data: st.DataObject
) -> None:
    place = data.draw(st.sampled_from(list(places(kind.value))))
    new = data.draw(ANYTHING)
    wrong = changed(kind.value, place, lambda parent, key: parent.__setitem__(key, new)) if place else new
    said = _outcome(kind, wrong, folder)
    assert not said or _is_named(place, said), said


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_missing_field_is_named_or_not_needed(folder: Path, kind: Kind) -> None:
    for place in places(kind.value):
        if place and isinstance(place[-1], str):
            wrong = changed(kind.value, place, lambda parent, key: parent.pop(key))
            said = _outcome(kind, wrong, folder)
            assert not said or _is_named(place, said), said


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_field_too_many_is_named_or_passed_over(folder: Path, kind: Kind, data: st.DataObject) -> None:
    at = [(*place, "") for place, held in _with_values(kind.value) if isinstance(held, dict)]
    place, name, new = data.draw(st.sampled_from(at)), data.draw(TEXT), data.draw(ANYTHING)
    said = _outcome(kind, changed(kind.value, place, lambda parent, _: parent.setdefault(name, new)), folder)
    plain = name.isascii() and name.replace("_", "").isalnum()
    assert not said or not plain or _is_named((name,), said), said


def _with_values(value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for place in places(value):
        held = value
        for key in place:
            held = held[key]
        yield place, held


@pytest.mark.parametrize("kind", [ArchiveRecord, UnpackedRecord])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=20) | ANYTHING.map(json.dumps).map(str.encode) | st.just(b"[" * 100_000))
def test_a_record_of_the_cache_is_read_or_empty(folder: Path, kind: Any, content: bytes) -> None:
    (folder / RECORD).write_bytes(content)
    assert read_record(folder, kind) == kind()


@pytest.mark.parametrize("field", ["url", "size", "inventory", "files"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ANYTHING)
def test_a_record_of_the_cache_with_anything_in_it_is_read(folder: Path, field: str, value: Any) -> None:
    (folder / RECORD).write_text(json.dumps({field: value}), encoding="utf-8")
    archive, unpacked = read_record(folder, ArchiveRecord), read_record(folder, UnpackedRecord)
    assert isinstance(archive.url, str | None) and isinstance(archive.size, int | None)
    assert unpacked.files is None or all(len(digest) == 64 for digest in unpacked.files.values())
