"""`nasexport evaluate --compare`: several artifacts in one pass, McNemar's test, and a page."""

import json
import re
from itertools import product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.evaluation.comparing import mcnemar
from exporter.report import comparison
from tests.evaluation.test_evaluate import Known, _result
from tests.evaluation.test_evaluate import artifact as artifact
from tests.evaluation.test_evaluate import flat as flat
from tests.evaluation.test_evaluate import known as known
from tests.evaluation.test_evaluate import wnids as wnids
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded


@pytest.mark.long
def test_two_artifacts_are_held_against_each_other(
    own_cli: Command, imagenet_artifacts: Path, artifact: Path, known: Known, flat: Path, wnids: Path
) -> None:
    other = artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 3)
    images = ("--images", flat, "--labels", wnids, "--batch-size", 10)
    # One of them was evaluated before: its state is continued, and holds for both commands.
    alone = _result(own_cli("evaluate", artifact, *images, "--json"))
    command = ("evaluate", "--compare", artifact, other, *images)
    result = own_cli(*command, "--json", "--report", "page.html")
    found = _result(result)
    assert "continuing after 36 of 72 answers" in result.stderr
    assert found["artifacts"][0] == alone
    for each in found["artifacts"]:
        known.check(each)
    (pair,) = found["pairs"]
    assert pair["artifacts"] == [str(artifact), str(other)]
    assert (pair["agreement"], pair["mcnemar"]) == (100.0, {"test": "exact", "p_value": 1.0})
    assert found["images"] == 36 and found["disagreements"] == []
    assert pair["both_right"] + pair["both_wrong"] == 36 and pair["both_right"] == round(
        alone["top_1"]["accuracy"] * 0.36
    )
    page = (own_cli.cwd / "page.html").read_text(encoding="utf-8")
    assert "McNemar" in page and str(other) in page and "<script" not in page
    assert len(files_below(own_cli.cache / "evaluations")) == 2

    # What is finished is read again.
    text = succeeded(own_cli(*command)).stdout
    assert "A and B give the same answer to 100.00 %" in text and "McNemar's p 1, they may be equally accurate" in text
    for arguments, said in {
        ("evaluate", artifact, other, *images): "several PATHs need --compare",
        ("evaluate", artifact, "--compare", *images): "two PATHs or more",
        (*command, "--state", "a"): "--compare has no --state",
    }.items():
        refused = own_cli(*arguments)
        assert refused.returncode == 2 and said in refused.stderr
    assert "named twice" in refusal(own_cli("evaluate", "--compare", artifact, artifact, *images))


def test_mcnemars_test_is_that_of_the_definition() -> None:
    for first, second in product(range(6), repeat=2):
        both = first + second
        # Two-sided: as unlikely, or more, in both directions.
        outcomes = [comb(both, count) for count in range(both + 1) if abs(2 * count - both) >= abs(first - second)]
        expected = sum(outcomes) / 2**both
        assert mcnemar(first, second)["p_value"] == pytest.approx(expected)
    # Agresti, Categorical Data Analysis (2002), table 10.1: 150 and 86 of 1,600 changed their minds.
    assert mcnemar(86, 150)["p_value"] < 1e-4
    many = mcnemar(700, 800)
    assert many["statistic"] == pytest.approx(99**2 / 1500) and many["p_value"] == pytest.approx(0.01059, abs=1e-4)


def test_a_page_shows_the_surest_of_those_that_differ() -> None:
    generator = np.random.default_rng(0)
    bins = [
        {
            "from": place / 10,
            "to": (place + 1) / 10,
            "images": 5,
            "confidence": place / 10 + 0.05,
            "accuracy": 0.1 * place,
        }
        for place in range(10)
    ]
    artifact = {
        "artifact": "<a>",
        "synthetic": None,
        "dataset": {"folder": "set", "arrangement": "flat"},
        "top_1": {"accuracy": 50.0, "interval": [40.0, 60.0]},
        "top_5": {"accuracy": 70.0, "interval": [60.0, 80.0]},
        "calibration": {"bins": bins, "expected_calibration_error": 0.1},
    }
    pictures: list[dict[str, Any]] = [
        {
            "path": f"{place}.jpg",
            "answers": [
                {"index": index, "wnid": None, "name": f"class {index}", "probability": share, "right": index == 1}
                for index, share in enumerate(generator.random(2))
            ],
        }
        for place in range(comparison.SHOWN + 20)
    ]
    pair = {
        **{"artifacts": ["<a>", "b"], "agreement": 20.0, "both_right": 1, "both_wrong": 2},
        **{"only_first_right": 3, "only_second_right": 40, "mcnemar": mcnemar(3, 40)},
    }
    result = {
        **{"images": 100, "artifacts": [artifact, {**artifact, "artifact": "b"}], "pairs": [pair]},
        "disagreements": pictures,
    }
    page = comparison.rendered(json.loads(json.dumps(result)), {pictures[0]["path"]: "data:image/jpeg;base64,AAAA"})
    assert "&lt;a&gt;" in page and "<a>" not in page
    assert page.count("<polyline") == 2 and ">differ<" in page
    shown = re.findall(r"<bdi>(\d+)\.jpg</bdi>", page)
    sure = sorted(
        range(len(pictures)), key=lambda place: -min(each["probability"] for each in pictures[place]["answers"])
    )
    assert list(map(int, shown)) == sure[: comparison.SHOWN]
