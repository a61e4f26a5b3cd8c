"""Files with anything in the place of anything: each is read as its type, or refused with the field that is wrong."""

import json
import resource
import time
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
    "schema": 2,
    "identity": {"artifact": "a", "images": "b", "model": None},
    "artifact": "some/folder",
    "folder": "images",
    "total": 10,
    "chunks": [
        {
            **{"start": 4, "count": 2, "broken": [], "ranks": [0, 12], "confidences": [0.85, 1.0], "classes": [7, 3]},
            **{"device": "CPU", "model": 0},
        },
        {
            **{"start": 0, "count": 2, "broken": [{"place": 1, "problem": "x.jpg is empty"}], "ranks": [2]},
            **{"confidences": [0.25], "classes": [1], "device": None, "model": 0},
        },
    ],
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


def _lines(value: Any) -> str:
    """A ledger: a line for its head, and for each chunk."""
    if not isinstance(value, dict) or not isinstance(value.get("chunks"), list):
        return json.dumps(value) + "\n"
    head = {key: item for key, item in value.items() if key != "chunks"}
    return "".join(json.dumps(line) + "\n" for line in (head, *value["chunks"]))


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
    "evaluation": Kind("state.json", _EVALUATION, _lines, _read_evaluation, EvaluationError),
}


def _outcome(kind: Kind, value: Any, folder: Path) -> str:
    """What is said of a file with ``value``; empty where it is taken."""
    return _outcome_of_bytes(kind, kind.written(value).encode(), folder)


def _outcome_of_bytes(kind: Kind, content: bytes, folder: Path) -> str:
    path = folder / kind.name
    path.write_bytes(content)
    began = time.monotonic()
    try:
        kind.read(path)
    except kind.error as error:
        said = str(error)
        assert said.startswith((str(path), f"{folder} has no"))
        assert 1 <= len(said.splitlines()) <= 2
        assert said.replace("\n", "").isprintable()
        assert len(said) < 1000
        return said
    finally:
        assert time.monotonic() - began < 10
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


# What is no file of a kind at all, byte by byte.

#: What means something to one of the parsers.
_TOKENS = st.sampled_from(
    [
        *(
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "- ",
            "? ",
            "\n",
            "\t",
            " ",
            '"',
            "'",
            "\\",
            "#",
            "=",
            ".",
            "|",
            ">",
            "%YAML 1.1\n",
        ),
        *(
            "&a ",
            "*a",
            "<<: ",
            "!!",
            "!!set ",
            "!!omap ",
            "!!binary ",
            "!!timestamp ",
            "!!python/name:os ",
            "---\n",
            "...\n",
        ),
        *(
            "null",
            "true",
            "~",
            "1:1:1.0",
            "0x",
            "1e400",
            "-.inf",
            "nan",
            "2001-01-01",
            "1979-05-27T07:32:00Z",
            "9" * 5000,
        ),
        *("'''", '"""', "[[a]]\n", "[a.b]\n", "\\u0000", "\\ud800", "\x00", "\x85", "\u2028", "\ufeff", "\U0001f600"),
    ]
)
_PIECES = st.lists(_TOKENS.map(str.encode) | st.binary(max_size=4), min_size=1, max_size=4).map(b"".join)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), _PIECES), min_size=1, max_size=3))
def test_a_file_with_other_bytes_is_taken_or_refused(
    folder: Path, kind: Kind, changes: list[tuple[float, int, bytes]]
) -> None:
    content = kind.written(kind.value).encode()
    for share, count, piece in changes:
        at = int(share * len(content))
        content = content[:at] + piece + content[at + count :]
    _outcome_of_bytes(kind, content, folder)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(_PIECES, max_size=12).map(b"".join) | st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(folder: Path, kind: Kind, content: bytes) -> None:
    _outcome_of_bytes(kind, content, folder)


def _laughs(merged: bool) -> str:
    """Ten lines of nine aliases each of the one before."""
    start = "a0: &a0 {k0: 1}\n"
    return start + "".join(
        f"a{n}: &a{n} "
        + (f"{{<<: [{','.join([f'*a{n - 1}'] * 9)}]}}\n" if merged else f"[{','.join([f'*a{n - 1}'] * 9)}]\n")
        for n in range(1, 11)
    )


#: By the kind of file: what it holds, and what is said of it.
HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "aliases of aliases": ("configuration", _laughs(False).encode(), "line 2 has an alias, *a0: write it out"),
    "merged aliases": ("configuration", _laughs(True).encode(), "has an alias"),
    "an alias of itself": ("configuration", b"a: &a [*a]", "has an alias"),
    "a key twice": ("configuration", b"name: a\nname: b\n", "the key name is there twice"),
    "a key twice, inside": ("configuration", b"versions: {4: hub, 4: hub}\n", "the key 4 is there twice"),
    "a float of sixties": ("configuration", b"a: " + b"1:" * 300 + b"0.0", "is not valid YAML"),
    "deep lists": ("configuration", b"[" * 100_000, "nested too deep"),
    "deep mappings": ("configuration", b"{a: " * 30_000, "nested too deep"),
    "deep blocks": ("configuration", b"- " * 60_000, "nested too deep"),
    "an object of Python's": ("configuration", b"a: !!python/object/apply:os.system [x]", "is not valid YAML"),
    "a tab": ("configuration", b"a:\n\tb: 1", "is not valid YAML"),
    "a NUL": ("configuration", b"a: \0", "is not valid YAML"),
    "two documents": ("configuration", b"---\na: 1\n---\na: 1\n", "is not valid YAML"),
    "UTF-16": ("configuration", "name: x".encode("utf-16"), "it is UTF-16, expected UTF-8"),
    "no UTF-8": ("configuration", b"name: \xe9t\xe9", "byte 6 is 0xe9, which is no UTF-8"),
    "more than a configuration has": ("configuration", b"#" * 200_000, "it has more than 131,072 bytes"),
    "a number of sixties": ("configuration", b"image_size: 1" + b":1" * 50_000, "image_size is a whole number of"),
    "dots": ("lock file", b"a" + b".a" * 50_000 + b" = 1", "line 1 has more than 100 dots"),
    "dots of a table": ("lock file", b"[a" + b".a" * 50_000 + b"]", "line 1 has more than 100 dots"),
    "deep arrays": ("lock file", b"a = " + b"[" * 100_000, "nested too deep"),
    "deep inline tables": ("lock file", b"a = " + b"{a = " * 30_000, "nested too deep"),
    "a table twice": ("lock file", b"[checkpoint.a]\nurl = 'x'\n[checkpoint.a]\n", "is not valid TOML"),
    "a mark": ("settings", b"\xef\xbb\xbfoffline = true", "begins with a byte order mark"),
    "TOML in UTF-16": ("settings", "offline = true".encode("utf-16"), "it is UTF-16"),
    "many digits": ("settings", b"retries = " + b"9" * 5000, "is not valid TOML"),
    "more than a lock file has": ("lock file", b"\n" * 300_000, "it has more than 262,144 bytes"),
    "deep objects": ("metadata", b'{"a":' * 100_000, "nested too deep"),
    "a field twice": ("metadata", b'{"schema": 1, "schema": 1}', "the key schema is there twice"),
    "a field twice, inside": ("manifest", b'{"a": [{"\\u001b": 1, "\\u001b": 2}]}', r"the key '\x1b' is there twice"),
    "half a character": ("metadata", b'{"handle": "\\ud800"}', "is not valid JSON"),
    "JSON with a mark": ("manifest", b"\xef\xbb\xbf{}", "begins with a byte order mark"),
    "JSON in UTF-16": ("evaluation", "{}".encode("utf-16"), "it is UTF-16"),
    "a number of many digits": ("evaluation", b'{"schema": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    "infinity": ("evaluation", b'{"schema": Infinity}', "is not valid JSON"),
    "more than a manifest has": ("manifest", b" " * (2**23 + 1), "it has more than 8,388,608 bytes"),
}


@pytest.mark.parametrize(("name", "content", "said"), HOSTILE.values(), ids=HOSTILE)
def test_what_makes_much_of_little_is_refused_by_name(folder: Path, name: str, content: bytes, said: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert said in _outcome_of_bytes(KINDS[name], content, folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_file_without_an_end_is_not_read_to_it(folder: Path, kind: Kind) -> None:
    path = folder / kind.name
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(kind.error, match="it has more than"):
        kind.read(path)
    path.unlink()


def test_a_record_of_the_cache_without_an_end_is_empty(folder: Path) -> None:
    with open(folder / RECORD, "wb") as file:
        file.truncate(2**40)
    assert read_record(folder, ArchiveRecord) == ArchiveRecord()
    (folder / RECORD).unlink()


@pytest.mark.parametrize("count", [10, 20_000])
def test_the_last_of_many_keys_is_found_to_blame(folder: Path, count: int) -> None:
    files = {f"f{number}": _SHA256 for number in range(count)} | {"the last": 7}
    record = {**to_plain(records.record(*_ARTIFACT)), "source": {**to_plain(records.source()), "files": files}}
    value = {"schema": 1, "nasexport": "1", "artifacts": [to_plain(records.record(*_ARTIFACT))] * 5 + [record]}
    assert "artifacts[5].source.files['the last'] is 7" in _outcome(KINDS["manifest"], value, folder)
