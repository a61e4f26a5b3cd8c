"""Manifests and records: they come back as they were written, and fit the schema that ships; nothing else is read."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.errors import ReleaseError
from exporter.models.formats import FORMATS, written
from exporter.release.manifest import (
    MANIFEST_FILE,
    CheckFacts,
    Place,
    Record,
    encoded,
    manifest,
    read_manifest,
    read_record,
)
from tests.support import json_schema, records
from tests.support.odd_values import ANYTHING, changed, places

RECORDS = [records.record(*artifact) for artifact in records.ARTIFACTS]
_FEW = manifest(RECORDS[:2], "1.2.3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("release")


def _written(folder: Path, value: Any) -> Path:
    (folder / MANIFEST_FILE).write_bytes(encoded(value))
    return folder


def test_a_manifest_comes_back_and_fits_the_schema(folder: Path) -> None:
    value = manifest(reversed(RECORDS), "1.2.3")
    assert json_schema.problems(json.loads(encoded(value)), "manifest") == []
    found = read_manifest(_written(folder, value))
    assert list(found.values()) == sorted(RECORDS, key=lambda record: record.handle)
    assert encoded(manifest(found.values(), "1.2.3")) == encoded(value)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.handle)
def test_a_record_comes_back_and_fits_the_schema(folder: Path, record: Record) -> None:
    # What was not measured is null; whole numbers stay whole.
    checks = (*record.checks, CheckFacts("loads", None, 0, "größer", True))
    record = msgspec.structs.replace(record, checks=checks)
    path = folder / record.place.record
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(record.to_dict()))
    assert json_schema.problems(json.loads(path.read_bytes()), "record") == []
    found = read_record(folder, record.place)
    assert found == record
    assert encoded(found.to_dict()) == path.read_bytes()
    assert '"figure": 0,' in path.read_text() and "größer" in path.read_text()
    assert read_record(folder, Place("google/imagenet/absent/classification/1")) is None


@pytest.mark.parametrize("format_", written())
def test_a_record_of_each_format_fits_the_schema(folder: Path, format_: str) -> None:
    base = RECORDS[0]
    version = base.version if FORMATS[format_].numbered else format_
    handle = f"google/imagenet/{base.model}/{base.task}/{version}"
    record = msgspec.structs.replace(base, handle=handle, version=version, format=format_)
    value = manifest([record], "1.2.3")
    assert json_schema.problems(json.loads(encoded(value)), "manifest") == []
    assert read_manifest(_written(folder, value)) == {handle: record}


def test_a_record_of_another_artifact_is_refused(folder: Path) -> None:
    record, other = RECORDS[:2]
    path = folder / other.place.record
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(record.to_dict()))
    with pytest.raises(ReleaseError, match=f"is the record of {record.handle}: expected that of {other.handle}"):
        read_record(folder, other.place)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("schema",), 2, "has schema 2, expected 1: it needs another nasexport"),
        (("schema",), True, "is damaged: schema is True, expected 1"),
        (("nasexport",), 1, "is damaged: nasexport is 1, expected a text"),
        (("artifacts",), {}, "is damaged: artifacts is {}, expected a list"),
        (("artifacts", 1), None, "is damaged: artifacts[1] is None, expected a mapping with handle, model, task"),
        (("artifacts", 1, "more"), 1, "is damaged: artifacts[1] has more, expected no other fields than handle, model"),
        (("artifacts", 0, "handle"), "../up", "is damaged: artifacts[0].handle is '../up', expected the handle of an"),
        (("artifacts", 0, "task"), "x", "artifacts[0].task is 'x', expected 'classification' or 'feature_vector'"),
        (("artifacts", 0, "format"), "saved_model_1", "artifacts[0]: format is 'saved_model_1', expected 'hub' or"),
        (("artifacts", 0, "version"), 0, "artifacts[0].version is 0, expected a whole number of at least 1"),
        (("artifacts", 0, "identity"), "E" * 64, "expected 64 hexadecimal digits"),
        (("artifacts", 0, "checks"), [], "artifacts[0].checks is [], expected a list of at least 1"),
        (
            ("artifacts", 0, "checks", 1, "figure"),
            "x",
            "checks[1].figure is 'x', expected a finite number of at least 0 or null",
        ),
        (("artifacts", 0, "files", 0, "size"), -1, "artifacts[0].files[0].size is -1, expected a whole number of at"),
        (("artifacts", 0, "source", "files"), {"a b": 7}, "artifacts[0].source.files['a b'] is 7, expected 64 hexa"),
        (("artifacts", 0, "source", "synthetic"), 7, "artifacts[0].source.synthetic is 7, expected a mapping or null"),
        (
            ("artifacts", 0, "page_links", "base_url"),
            "http://a/'",
            'page_links.base_url is "http://a/\'", expected an add',
        ),
        (("artifacts", 0, "page_links", "artifacts"), ["../x/1"], "artifacts[0] is '../x/1', expected TASK/VERSION"),
        (("artifacts", 0, "options"), {}, "artifacts[0].options lacks batch_norm_momentum, expected batch_norm_mom"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(folder: Path, place: tuple[Any, ...], value: Any, said: str) -> None:
    wrong = changed(_FEW, place, lambda parent, key: parent.__setitem__(key, value))
    with pytest.raises(ReleaseError) as caught:
        read_manifest(_written(folder, wrong))
    assert str(folder / MANIFEST_FILE) in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": NaN}', "[" * 100_000, "\xff"])
def test_what_is_no_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ReleaseError, match="is damaged: it is"):
        read_manifest(folder)


def _beyond_json_schema(value: Any) -> bool:
    """Whether a value has numbers that the schema takes for whole ones: 1.0, and those of more than 64 bits."""
    if isinstance(value, dict | list):
        return any(map(_beyond_json_schema, value.values() if isinstance(value, dict) else value))
    return (isinstance(value, float) and value.is_integer()) or (isinstance(value, int) and value >= 2**63)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_read_is_what_fits_the_schema(folder: Path, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from([place for place in places(_FEW) if place]))
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    value = data.draw(ANYTHING.filter(lambda value: "NaN" not in json.dumps(value) and "Inf" not in json.dumps(value)))

    def apply(parent: Any, key: Any) -> None:
        if change == "remove":
            del parent[key]
        elif change == "replace":
            parent[key] = value
        elif isinstance(parent, dict):
            parent["more"] = value
        else:
            parent.append(value)

    wrong = changed(_FEW, place, apply)
    try:
        found = read_manifest(_written(folder, wrong))
        said = ""
        read_as = (wrong, _without_more(wrong), _with_defaults(wrong))
        assert encoded(manifest(found.values(), wrong["nasexport"])) in map(encoded, read_as)
    except ReleaseError as error:
        said = str(error)
    fits = json_schema.problems(wrong, "manifest") == []
    assert fits == (said == "") or (fits and _beyond_json_schema(value)), said or "it was read"


def _with_defaults(value: Any) -> Any:
    """A copy with the fields that an earlier nasexport did not write."""
    own = changed(value, ("nasexport",), lambda parent, key: None)
    for record in own["artifacts"]:
        record["source"] = {"scope": "", "left_out": {}, **record["source"]}
        record.setdefault("page_links", {"base_url": None, "artifacts": []})
    return own


def _without_more(value: Any) -> Any:
    """A copy without the fields that a later nasexport may add to the source and the options of a record."""
    own = changed(value, ("nasexport",), lambda parent, key: None)
    for record in own["artifacts"]:
        for part in (record["source"], record["options"]):
            part.pop("more", None)
    return own
