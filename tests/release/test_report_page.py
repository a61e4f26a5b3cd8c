"""Reports that are held against their records: every one that a verification writes passes, and no text is free."""

import json
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from exporter.artifact.metadata import Verdict
from exporter.artifact.options import ArtifactOptions
from exporter.models import variables
from exporter.models.config import ModelConfig, Task
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.release import report_page
from exporter.release.manifest import CheckFacts, Record
from exporter.report import page
from exporter.report.section import Section
from exporter.resources import resource
from exporter.verification.results import TOLERANCE, Check, Report
from tests.support import records

_SHIPPED = {
    facts["model"]: facts
    for path in sorted((resource("configs") / "references").glob("*.npz"))
    if (facts := json.loads(str(np.load(path)["facts"])))
}
_NOTES: dict[str, Any] = {
    "none": (None, ()),
    "from the cache": ("a" * 64, "nasexport's TF-Slim graph under TensorFlow 2.21.0"),
    "shipped": ("b" * 64, None),
}


def _measured(config: ModelConfig, task: Task, values: st.DataObject) -> dict[str, Any]:
    """What a verification that passes may measure: differences within the tolerance, of any size and on any scale."""
    seed = values.draw(st.integers(0, 2**32 - 1), "seed")
    random = np.random.default_rng(seed)
    scale = 10.0 ** values.draw(st.integers(-12, 12), "scale")
    share = values.draw(st.sampled_from([0.0, 1e-9, 1e-4, 0.3, 0.999]), "share of the tolerance")
    length = config.num_classes if task == "classification" else variables.features(config)
    reference = (random.standard_normal(values.draw(st.integers(1, 3)) * length) * scale).astype(np.float32)
    allowed = TOLERANCE * float(np.abs(reference).max())
    found = (reference + random.uniform(-1, 1, reference.shape) * allowed * share).astype(np.float32)
    assume(float(np.abs(found.astype(np.float64) - reference).max()) <= allowed)
    names = variables.end_points(config)[: None if task == "classification" else -2]
    differences = random.uniform(0, 1, len(names)) * TOLERANCE * share
    rows = [{"name": name, "difference": float(each)} for name, each in zip(names, differences, strict=True)]
    return {
        "tolerance": TOLERANCE,
        "outputs": {"name": SERVING_OUTPUTS[task], "reference": reference, "found": found},
        "end_points": rows if values.draw(st.booleans(), "end points") else None,
        "runtime": "TensorFlow 2.21.0",
    }


def _case(artifact: tuple[ModelConfig, Task, int], kind: str, measured: dict[str, Any]) -> tuple[Record, Any, str]:
    """A record, what the artifact says of itself, and its report."""
    config, task, _ = artifact
    reference, recorded_with = _NOTES[kind]
    source = records.source(synthetic=records.SYNTHETIC)
    if kind == "shipped":
        facts = _SHIPPED[config.name]
        source = records.source(synthetic=records.SYNTHETIC, files=facts["files"])
        recorded_with = facts["recorded_with"]
    files = {"archive": source.archive, "archive_sha256": source.archive_sha256, "files": source.files}
    checks = (Check("output, relative difference", 1.2345e-5, TOLERANCE, f"float32 [3, 11], {task} <&> 'x'"),)
    record = records.record(
        *artifact,
        source=source,
        checks=tuple(msgspec.convert(each.to_dict(), CheckFacts) for each in checks),
        inputs={"reference": reference, "packages": {"tensorflow": "2.21.0"}},
    )
    verdicts = tuple(Verdict(each.name, each.tolerance, each.passed) for each in checks)
    options = ArtifactOptions(0.99)
    metadata = records.metadata(*artifact, source=source, verification=verdicts, options=options)
    notes = (f"compared with a recorded reference ({recorded_with})",) if reference else ()
    report = Report(record.handle, checks, notes, {**measured, "source": files})
    return record, metadata, page.page([Section(report, metadata)])


_FREE = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
_ARTIFACTS = st.sampled_from(records.ARTIFACTS)


@_FREE
@given(artifact=_ARTIFACTS, kind=st.sampled_from([*_NOTES]), values=st.data())
def test_every_report_that_is_written_passes(
    artifact: tuple[ModelConfig, Task, int], kind: str, values: st.DataObject
) -> None:
    assume(kind != "shipped" or artifact[0].name in _SHIPPED)
    record, metadata, text = _case(artifact, kind, _measured(artifact[0], artifact[1], values))
    assert report_page.expected(record, metadata, text) == text


@_FREE
@given(artifact=_ARTIFACTS, values=st.data())
def test_no_text_of_a_report_is_free(artifact: tuple[ModelConfig, Task, int], values: st.DataObject) -> None:
    record, metadata, text = _case(artifact, "none", _measured(artifact[0], artifact[1], values))
    at = values.draw(st.integers(0, len(text)), "place")
    added = values.draw(
        st.sampled_from(["<", ">", "<b>", "x", "é", "&", '"', "<script>", " onload=x", "<!--", "\n", " "])
    )
    longer = text[:at] + added + text[at:]
    assert report_page.expected(record, metadata, longer) != longer
    # Digits are free where they are figures of a plot, and nowhere else.
    plots = re.search(r'(?s)<div class="plots">.*?</div>\n', text)
    assert plots
    digits = [match.start() for match in re.finditer(r"\d", text) if not plots.start() <= match.start() < plots.end()]
    place = values.draw(st.sampled_from(digits), "digit")
    other = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
    assert report_page.expected(record, metadata, other) != other


@pytest.mark.parametrize("kind", [*_NOTES])
def test_a_note_is_there_where_the_record_says_so(kind: str) -> None:
    artifact = next(each for each in records.ARTIFACTS if each[0].name in _SHIPPED)
    measured = {"tolerance": TOLERANCE, "outputs": None, "end_points": None, "runtime": "TensorFlow 2.21.0"}
    record, metadata, text = _case(artifact, kind, measured)
    assert report_page.expected(record, metadata, text) == text
    noted = re.search(r'<p class="soft">Note: .*\n', text)
    assert (noted is None) == (kind == "none")
    if noted:
        without = text.replace(noted[0], "")
        assert report_page.expected(record, metadata, without) != without
        praised = text.replace("recorded reference (", "recorded reference (by Google, ")
        assert report_page.expected(record, metadata, praised) != praised
    other = msgspec.structs.replace(record, inputs={**record.inputs, "reference": None if noted else "c" * 64})
    assert report_page.expected(other, metadata, text) != text
