"""Files that are no recorded references, or damaged ones: each is refused in a line, before it takes room."""

import io
import json
import resource
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exporter.errors import ArtifactError
from exporter.models.config import ModelConfig, models
from exporter.models.variables import variables
from exporter.reference import recorded
from exporter.reference.result import TEXTS, shapes
from exporter.terminal import message
from tests.support.command import CHECKOUT
from tests.support.fixtures import TINY
from tests.support.odd_values import ANYTHING

CONFIG = ModelConfig.from_dict(TINY)
FACTS: dict[str, Any] = {"model": CONFIG.name, "recorded_with": "a test", "files": {"x.index": "0" * 64}}


def _arrays() -> dict[str, np.ndarray]:
    """A whole reference of a tiny network, with numbers that are made up."""
    arrays: dict[str, np.ndarray] = {}
    names = [spec.name for spec in variables(CONFIG, "classification")]
    for name, shape in shapes(CONFIG).items():
        texts = dict(zip(TEXTS, (names, ["0" * 64] * len(names)), strict=True))
        arrays[name] = np.array(texts[name]) if name in texts else np.ones(shape, np.float32)
    return arrays


WHOLE = _arrays()


def _member(array: object) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(array), allow_pickle=False)
    return content.getvalue()


MEMBERS = {name: _member(array) for name, array in {**WHOLE, "facts": np.array(json.dumps(FACTS))}.items()}


def _written(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def _outcome(path: Path) -> str:
    """What is said of a file; empty where it is taken, with what verifications ask for in it."""
    began = time.monotonic()
    try:
        reference, facts = recorded.load(path, CONFIG)
    except ArtifactError as error:
        said = message(str(error))
        assert len(said.splitlines()) <= 2 and path.name in said
        return said
    finally:
        assert time.monotonic() - began < 10
    assert facts.model == CONFIG.name and all(len(digest) == 64 for digest in facts.files.values())
    for end_points in (reference.end_points, reference.training_end_points):
        assert all(array.dtype.kind == "f" for array in end_points.values.values())
        assert all(array.shape == (3,) for array in end_points.statistics.values())
    if reference.is_whole:
        assert len(reference.digests) == len(variables(CONFIG, "classification"))
        assert reference.end_points.output("classification").shape == (3, CONFIG.num_classes)
        assert set(reference.regularization_losses) == {"classification", "feature_vector"}
    return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("references")


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "configs" / "references").glob("*.npz")), ids=lambda path: path.stem[:8]
)
def test_what_ships_is_taken(path: Path) -> None:
    with np.load(path) as file:
        config = models()[json.loads(str(file["facts"]))["model"]]
    reference, facts = recorded.load(path, config)
    assert not reference.is_whole and "TensorFlow 1.15.5" in facts.recorded_with
    assert reference.end_points.output("classification").shape == (3, 1001)


def test_a_whole_one_is_taken(folder: Path) -> None:
    assert _outcome(_written(folder / "whole.npz", MEMBERS)) == ""
    reference, _ = recorded.load(folder / "whole.npz", CONFIG)
    assert reference.is_whole


@pytest.mark.parametrize("name", MEMBERS)
def test_one_that_says_it_is_whole_lacks_nothing(folder: Path, name: str) -> None:
    said = _outcome(_written(folder / "less.npz", {each: content for each, content in MEMBERS.items() if each != name}))
    # Without what tells that it is whole, it holds outputs alone.
    assert said or name in ("names", "training/end_point/global_pool")


def _head(shape: str, kind: str = "<f4", version: int = 1) -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


WRONG: dict[str, Callable[[], bytes]] = {
    "more than any machine has": lambda: _head("(68719476736,)"),
    "a size beyond 64 bits": lambda: _head("(4294967296, 4294967296)"),
    "a negative size": lambda: _head("(-3,)"),
    "no size": lambda: _head("'x'"),
    "objects": lambda: _head("(3,)", "|O"),
    "whole numbers": lambda: _member(np.ones(3, np.int64)),
    "half numbers": lambda: _member(np.ones(3, np.float16)),
    "text": lambda: _member(np.array(["a", "b", "c"])),
    "records": lambda: _member(np.zeros(3, [("a", "f4")])),
    "another shape": lambda: _member(np.ones(4, np.float32)),
    "not a number": lambda: _member(np.array([1, 2, np.nan], np.float32)),
    "no kind": lambda: _head("(3,)", "nonsense"),
    "a kind of no size": lambda: _head("(3,)", "<U0"),
    "a head of code": lambda: _head("__import__('os').abort()"),
    "a head that is deep": lambda: _head("(" * 4000),
    "a head of a gigabyte": lambda: b"\x93NUMPY\x02\0" + struct.pack("<I", 2**30) + b"{",
    "a head of 20 kB": lambda: _head("(3,)" + " " * 20_000, version=2),
    "another version": lambda: _head("(3,)", version=3) + bytes(12),
    "too few bytes": lambda: _head("(3,)") + bytes(11),
    "too many bytes": lambda: _head("(3,)") + bytes(13),
    "a pickle": lambda: b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "nothing": lambda: b"",
    "300 MB of zeros": lambda: _head("(3,)") + bytes(300 * 2**20),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_an_array_that_is_none_is_refused_before_it_takes_room(folder: Path, content: Callable[[], bytes]) -> None:
    path = _written(folder / "wrong.npz", {**MEMBERS, "statistics/Stem": content()})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "is no recorded reference, or a damaged one" in _outcome(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_file_that_is_too_large_is_refused(folder: Path) -> None:
    path = folder / "large.npz"
    with open(path, "wb") as file:
        file.truncate(2**40)
    assert "it has more than" in _outcome(path)


def test_a_file_that_cannot_be_unpacked_is_refused(folder: Path) -> None:
    """With a password, and by a method that nobody has."""
    whole = bytearray(_written(folder / "whole.npz", MEMBERS).read_bytes())
    for offset, value in ((6, 1), (8, 99)):
        changed = bytearray(whole)
        at = 0
        while (at := changed.find(b"PK\x03\x04", at)) >= 0:
            changed[at + offset] = value
            at += 1
        at = 0
        while (at := changed.find(b"PK\x01\x02", at)) >= 0:
            changed[at + offset + 2] = value
            at += 1
        path = folder / "locked.npz"
        path.write_bytes(changed)
        assert "is no recorded reference" in _outcome(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(list(MEMBERS)), data=st.data())
def test_a_member_with_other_bytes_is_taken_or_refused(folder: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(MEMBERS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 160) - 1) | st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    _outcome(_written(folder / "other.npz", {**MEMBERS, name: bytes(content)}))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)), min_size=1, max_size=5))
def test_a_file_with_other_bytes_is_taken_or_refused(folder: Path, changes: list[tuple[float, bytes]]) -> None:
    content = bytearray(_written(folder / "base.npz", MEMBERS).read_bytes())
    for share, piece in changes:
        at = int(share * len(content))
        content[at : at + len(piece)] = piece
    path = folder / "changed.npz"
    path.write_bytes(content)
    _outcome(path)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from([*FACTS, "synthetic", ""]), value=ANYTHING)
@example("files", {"a": "b"})
@example("model", "\x1b[31m")
def test_facts_with_anything_in_them_are_taken_or_refused(folder: Path, field: str, value: Any) -> None:
    facts = json.dumps({**FACTS, field: value} if field else value)
    _outcome(_written(folder / "facts.npz", {**MEMBERS, "facts": _member(np.array(facts))}))
