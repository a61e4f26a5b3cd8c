"""``nasexport.json``: it comes back as it was written, and what is no such file is refused."""

import json
from pathlib import Path

import msgspec
import pytest

from exporter.artifact.metadata import METADATA_FILE, CheckpointFacts, read_metadata, write_metadata
from exporter.errors import ArtifactError
from exporter.models.config import ModelConfig, models
from tests.support import records
from tests.support.fixtures import TINY

_CONFIG = ModelConfig.from_dict({**TINY, "title": "größer", "drop_path_keep_prob": 1})
METADATA = records.metadata(_CONFIG, "classification", 4)


def test_metadata_comes_back_and_has_the_same_bytes(tmp_path: Path) -> None:
    write_metadata(tmp_path, METADATA)
    first = (tmp_path / METADATA_FILE).read_bytes()
    facts = msgspec.structs.asdict(METADATA.source)
    backwards = CheckpointFacts(**{**facts, "files": dict(reversed(facts["files"].items()))})
    write_metadata(tmp_path, msgspec.structs.replace(METADATA, source=backwards))
    assert (tmp_path / METADATA_FILE).read_bytes() == first
    found = read_metadata(tmp_path)
    assert found == METADATA
    write_metadata(tmp_path, found)
    assert (tmp_path / METADATA_FILE).read_bytes() == first
    assert read_metadata(tmp_path / "absent") is None


@pytest.mark.parametrize("config", models().values(), ids=models())
def test_it_is_what_it_always_was(tmp_path: Path, config: ModelConfig) -> None:
    """Keys are sorted, text is as it is, and what was a whole number in a configuration is one here."""
    metadata = records.metadata(config, "feature_vector", 4, verification=None)
    write_metadata(tmp_path, metadata)
    facts = {
        "schema": 1,
        "tool": {"nasexport": "1.2.3", "tensorflow": "2.21.0"},
        "handle": f"google/imagenet/{config.name}/feature_vector/4",
        "model": config.to_dict(),
        "task": "feature_vector",
        "version": 4,
        "format": "saved_model_2",
        "options": {"batch_norm_momentum": 0.99},
        "source": {
            "archive": "some archive.tar.gz",
            "archive_sha256": "a1" * 32,
            "files": {"model.ckpt.index": "b2" * 32, "model.ckpt.data-00000-of-00001": "c3" * 32},
            "layout": "plain",
            "variables_from_averages": 7,
            "synthetic": None,
            "scope": "",
            "left_out": {"auxiliary_head": 12, "last_values": 7, "slots": 3, "counters": 1, "unknown": 0},
        },
        "verification": None,
    }
    expected = json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert (tmp_path / METADATA_FILE).read_text(encoding="utf-8") == expected


def test_whole_numbers_stay_whole(tmp_path: Path) -> None:
    write_metadata(tmp_path, METADATA)
    text = (tmp_path / METADATA_FILE).read_text(encoding="utf-8")
    assert '"drop_path_keep_prob": 1,' in text and '"title": "größer"' in text
    assert '"tolerance": 0\n' in text and '"tolerance": 0.0001\n' in text


def test_what_a_later_nasexport_says_besides_is_passed_over(tmp_path: Path) -> None:
    write_metadata(tmp_path, METADATA)
    path = tmp_path / METADATA_FILE
    facts = json.loads(path.read_text(encoding="utf-8"))
    for part in (facts, facts["tool"], facts["options"], facts["source"]):
        part["more"] = [1, 2]
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert read_metadata(tmp_path) == METADATA


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is damaged: it is not valid JSON"),
        ("{", "is damaged: it is not valid JSON"),
        ('{"schema": NaN}', "is damaged: it is not valid JSON"),
        ("[" * 100_000, "is damaged: it is not valid JSON"),
        ("[]", r"is damaged: it is \[\], expected a mapping with schema, tool, handle"),
        ("7", "is damaged: it is 7, expected a mapping with schema, tool, handle"),
        ("{}", "is damaged: it lacks schema, tool, handle, model, task, version, format, options, source"),
        ('{"schema": 9}', "has schema 9, expected 1: it needs another nasexport"),
        ('{"schema": "1\\n"}', r"has schema '1\\n', expected 1: it needs another nasexport"),
    ],
)
def test_damaged_metadata_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / METADATA_FILE
    path.write_text(text)
    with pytest.raises(ArtifactError, match=f"{path} {said}"):
        read_metadata(tmp_path)
