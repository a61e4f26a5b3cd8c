"""The ledger of finished chunks: in any order, cut off anywhere, and of a million images in a second."""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import EvaluationError
from exporter.evaluation.accuracy import Tally
from exporter.evaluation.evaluation import Evaluation
from exporter.evaluation.items import Item, Items
from exporter.evaluation.jobs import Broken, ClassifiedChunk
from exporter.evaluation.ledger import Ledger
from exporter.evaluation.outcomes import Outcomes

IDENTITY = {"artifact": "a", "images": "b"}


def _ledger(path: Path, total: int, identity: dict[str, Any] = IDENTITY) -> "Ledger[ClassifiedChunk]":
    return Ledger(path, ClassifiedChunk, 2, identity, total, "evaluation")


def _chunk(start: int, count: int, broken: Sequence[int] = ()) -> ClassifiedChunk:
    whole = count - len(broken)
    generator = random.Random(start)
    return ClassifiedChunk(
        start,
        count,
        tuple(Broken(place, "it is empty") for place in broken),
        tuple(generator.randrange(12) for _ in range(whole)),
        tuple(generator.random() for _ in range(whole)),
        tuple(generator.randrange(1001) for _ in range(whole)),
        "CPU",
    )


def _written(path: Path, total: int, chunks: Sequence[ClassifiedChunk]) -> "Ledger[ClassifiedChunk]":
    ledger = _ledger(path, total)
    ledger.begin("artifact", "folder")
    for chunk in chunks:
        ledger.append(chunk)
    ledger.close()
    return ledger


@settings(max_examples=50, deadline=None)
@given(
    total=st.integers(1, 60),
    size=st.integers(1, 9),
    other=st.integers(1, 9),
    seed=st.integers(0, 99),
    cut=st.floats(0, 1),
)
def test_what_is_left_is_what_no_line_has(
    tmp_path_factory: pytest.TempPathFactory, total: int, size: int, other: int, seed: int, cut: float
) -> None:
    """Chunks come in any order, the file is cut off anywhere, and goes on with chunks of another size."""
    path = tmp_path_factory.mktemp("ledger") / "state.json"
    chunks = [_chunk(*each) for each in _ledger(path, total).todo(size)]
    assert [chunk.start for chunk in chunks] == list(range(0, total, size))
    random.Random(seed).shuffle(chunks)
    _written(path, total, chunks)
    content = path.read_bytes()
    head = content.index(b"\n") + 1
    path.write_bytes(content[: head + int(cut * (len(content) - head))])

    again = _ledger(path, total)
    taken: list[ClassifiedChunk] = []
    again.load(taken.append)
    assert taken == chunks[: len(taken)]
    assert again.done == sum(chunk.count for chunk in taken)
    again.begin("artifact", "folder")
    for start, count in list(again.todo(other)):
        assert count <= other and start // other == (start + count - 1) // other
        again.append(_chunk(start, count))
    again.close()
    assert again.finished
    whole = _ledger(path, total)
    whole.load()
    assert whole.finished and list(whole.todo(3)) == []
    covered = [place for entry in whole.entries() for place in range(entry.start, entry.start + entry.count)]
    assert covered == list(range(total))


def test_sums_are_those_of_the_order_of_the_images(tmp_path: Path) -> None:
    chunks = [_chunk(start, 7, [3] if start == 14 else []) for start in range(0, 70, 7)]
    expected = Tally()
    for chunk in chunks:
        expected.add(chunk.ranks, chunk.confidences)
    for seed in range(3):
        random.Random(seed).shuffle(chunks)
        found = Outcomes()
        for chunk in chunks:
            found.add(chunk)
        assert found.tally() == expected  # to the last bit
        assert (found.images, found.right) == (69, expected.right(1))


def test_a_ledger_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    _written(path, 20, [_chunk(0, 4), _chunk(8, 4)])
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    one = json.loads(lines[1])
    for said, changed in {
        "its chunks count the image number 2": lines[1].replace('"start": 0', '"start": 2') + lines[1],
        "from start 18, count 4, of 20": lines[1].replace('"start": 0', '"start": 18'),
        "of 3 images, count less broken": json.dumps({**one, "broken": [{"place": 1, "problem": "x"}]}) + "\n",
        "the places in broken are [4]": json.dumps({**one, "broken": [{"place": 4, "problem": "x"}]}) + "\n",
        "the places in broken are [1, 1]": json.dumps({**one, "broken": [{"place": 1, "problem": "x"}] * 2}) + "\n",
        "line 2, of its chunks: confidences": json.dumps({**one, "confidences": [2.0] * 4}) + "\n",
        "it is not valid JSON": '{"start": 0\n',
    }.items():
        path.write_text(lines[0] + changed)
        with pytest.raises(EvaluationError, match="is damaged or is not the state of an evaluation") as caught:
            _ledger(path, 20).load()
        assert said in str(caught.value), caught.value
    path.write_text(whole)
    with pytest.raises(EvaluationError, match=r"another evaluation \(other images\): pass --restart"):
        _ledger(path, 20, {**IDENTITY, "images": "c"}).load()
    with pytest.raises(EvaluationError, match="total is 20, expected 21"):
        _ledger(path, 21).load()
    path.write_text(json.dumps({"schema": 1, "identity": IDENTITY, "position": 4, "tally": {}}, indent=1) + "\n")
    with pytest.raises(EvaluationError, match=r"was written by an older nasexport, .* pass --restart"):
        _ledger(path, 20).load()


def test_a_million_images_are_read_in_a_second(tmp_path: Path) -> None:
    total, size = 1_000_000, 32
    path = tmp_path / "state.json"
    line = json.dumps(json.loads(_written(path, total, [_chunk(0, size)]).path.read_text().splitlines()[1]))
    head = path.read_text().splitlines()[0]
    with open(path, "w") as file:
        file.write(head + "\n")
        file.writelines(line.replace('"start": 0', f'"start": {start}', 1) + "\n" for start in range(0, total, size))
    dataset: Any = SimpleNamespace(items=range(total))
    evaluation = Evaluation(None, dataset, IDENTITY, path)  # type: ignore[arg-type]
    began = time.process_time()
    evaluation.load()
    took = time.process_time() - began
    assert evaluation.finished and evaluation.tally.images == total
    assert took < 2  # 0.5 s on a machine that does nothing else


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            Item,
            st.binary(min_size=1, max_size=9).map(
                lambda name: name.replace(b"\0", b"").decode("utf-8", "surrogateescape")
            ),
            st.none() | st.integers(0, 2**40),
            st.none() | st.integers(0, 10**9 - 1),
            st.none() | st.sampled_from(["a.jpg", "ä \udce4.jpg"]),
        )
    )
)
def test_items_stay_what_they_were(items: list[Item]) -> None:
    held = Items(items)
    assert list(held) == items and len(held) == len(items)
    assert held[1:3] == items[1:3]
    for place in range(len(items)):
        assert held[place] == items[place] and held[place - len(items)] == items[place]
    with pytest.raises(IndexError):
        held[len(items)]
