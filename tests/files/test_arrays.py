"""Stores of arrays: what is written comes back, and what is equal takes up space once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from exporter.files.arrays import ArrayGroup, ArrayStore, ArrayWriter, below

_ARRAYS = st.dictionaries(
    st.text("ab/", min_size=1, max_size=4),
    arrays.arrays(st.sampled_from([np.float32, np.int64, np.bool_]), arrays.array_shapes(max_dims=2, max_side=3)),
    max_size=4,
)


def _written(folder: Path, values: dict[str, np.ndarray]) -> ArrayStore:
    with ArrayWriter(folder) as writer:
        for name, value in values.items():
            writer.write(name, value)
    return ArrayStore(folder)


@given(values=_ARRAYS)
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, values: dict[str, np.ndarray]) -> None:
    store = _written(tmp_path_factory.mktemp("store") / "arrays", values)
    assert list(store) == list(values)
    for name, value in values.items():
        np.testing.assert_array_equal(store[name], value)
        assert store[name].dtype == value.dtype


def test_a_large_array_and_names_come_back(tmp_path: Path) -> None:
    values = {"large": np.arange(10**5, dtype=np.float32), "names": np.array(["a", "été"]), "none": np.array([], str)}
    store = _written(tmp_path / "arrays", values)
    assert all(np.array_equal(store[name], value) for name, value in values.items())
    assert store["none"].tolist() == []


def test_equal_arrays_are_kept_once(tmp_path: Path) -> None:
    ones = np.ones(3, np.float32)
    store = _written(tmp_path / "arrays", {"one": ones, "same": ones.copy(), "type": ones.astype(np.int32)})
    assert store.file("one") == store.file("same") != store.file("type")
    assert len(list((tmp_path / "arrays").glob("*.npy"))) == 2


def test_arrays_of_another_store_are_linked_and_outlive_it(tmp_path: Path) -> None:
    other = _written(tmp_path / "other", {"zeros": np.zeros(3), "ones": np.ones(3)})
    with ArrayWriter(tmp_path / "arrays") as writer:
        for name in ("here", "again"):
            writer.link(name, other, "ones")
        writer.alias("third", "here")
        assert writer.names == ["here", "again", "third"]
    store = ArrayStore(tmp_path / "arrays")
    assert other.file("ones").stat().st_nlink == 2
    for file in (tmp_path / "other").iterdir():
        file.unlink()
    assert [store[name].tolist() for name in ("here", "again", "third")] == [[1.0, 1.0, 1.0]] * 3


def test_a_folder_is_no_store_before_all_is_written(tmp_path: Path) -> None:
    def stop() -> None:
        with ArrayWriter(tmp_path / "arrays") as writer:
            writer.write("one", 1)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stop()
    with pytest.raises(FileNotFoundError):
        ArrayStore(tmp_path / "arrays")
    with pytest.raises(FileExistsError):
        ArrayWriter(tmp_path / "arrays")


def test_a_group_has_names_of_its_own(tmp_path: Path) -> None:
    store = _written(tmp_path / "arrays", {"a/x": np.ones(1), "a/y/z": np.zeros(1), "b/x": np.ones(1)})
    assert {name: value.tolist() for name, value in below(store, "a/").items()} == {"x": [1.0], "y/z": [0.0]}
    assert list(below(store, "a/", without=("y/",))) == ["x"]
    group = ArrayGroup(store, {"left": "a/x", "right": "b/x", "other": "a/y/z"})
    assert group.content("left") == group.content("right") != group.content("other")
    assert "a/x" not in group


def test_equal_arrays_of_any_stores_have_one_content_and_others_have_others(tmp_path: Path) -> None:
    ones = np.ones((2, 2), np.float32)
    different: dict[str, np.ndarray] = {
        "type": ones.astype(np.float64),
        "shape": ones.ravel(),
        "value": ones * 2,
        "sign": ones * 0.0,
    }
    one = _written(tmp_path / "one", {"a": ones, **different, "negative": ones * -0.0})
    with ArrayWriter(tmp_path / "two") as writer:
        writer.link("b", one, "a")
        writer.write("c", ones.copy())
        writer.alias("d", "c")
    two = ArrayStore(tmp_path / "two")
    assert {two.content(name) for name in "bcd"} == {one.content("a")}
    assert len({one.content(name) for name in one}) == len(one) == 6
    assert ArrayGroup({"a": ones}, {"a": "a"}).content("a") is None
