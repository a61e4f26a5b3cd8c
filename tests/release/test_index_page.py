"""The index of a release: what it says of models and artifacts, and where its links lead."""

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.models import variables as layout
from exporter.models.config import TASKS, model, models
from exporter.models.formats import DEFAULT_FORMAT
from exporter.release import index_page
from exporter.release.manifest import PageLinks, Record
from exporter.report import templates
from tests.support import browser, environments
from tests.support import records as made_up
from tests.support.html_pages import Reader
from tests.support.reading import FOR_TINY_NETWORKS

RECORDS = [made_up.record(*artifact) for artifact in made_up.ARTIFACTS]


def _synthetic(record: Record) -> Record:
    return replace(record, source=made_up.source(synthetic=made_up.SYNTHETIC))


@pytest.fixture(scope="module")
def text() -> str:
    return index_page.page(RECORDS, models(), "1.2.3")


def test_models_and_artifacts_are_told_of(text: str) -> None:
    page = Reader(text)
    for config in made_up.PUBLISHED:
        assert config.accuracy
        for fact in (
            config.title,
            f"Images {config.image_size} x {config.image_size} pixels",
            f"Outputs {config.num_classes} logits or {layout.features(config)} features",
            *(f"{layout.parameters(config, task):,} ({task})" for task in TASKS),
            f"top-1 {config.accuracy['top_1']} %, top-5 {config.accuracy['top_5']} %",
            f"Checkpoint {config.checkpoint}",
        ):
            assert fact in page.text, fact
    assert "26 artifacts of 3 models, 1,990 MB packed" in page.text
    assert models()["pnasnet_mobile"].title not in page.text
    rows = re.findall(r"(classification|feature_vector)/(\d) (TF\d \w+)", page.text)
    assert len(rows) == len(RECORDS)
    assert {(int(version) < 4, name) for _, version, name in rows} == {(True, "TF1 Hub"), (False, "TF2 SavedModel")}
    assert "Written by nasexport 1.2.3." in page.text


def test_links_are_relative_and_lead_to_all_files(text: str) -> None:
    addresses = [own["href"] for own in Reader(text).having("a")]
    leading = {unquote(address) for address in addresses if not address.startswith("#")}
    wanted = {"manifest.json", "SHA256SUMS", "provenance.json", "imagenet_labels.txt"}
    for record in RECORDS:
        wanted |= {record.place.page_html, record.place.report, record.archive.path}
    assert leading == wanted
    given = [replace(record, page_links=PageLinks("https://models.example.org", ())) for record in RECORDS]
    addressed = index_page.page(given, models(), "1.2.3")
    assert "https://models.example.org" in addressed and made_up.HUB not in addressed and made_up.HUB in text
    ids = [own["id"] for _, own in Reader(text).elements if "id" in own]
    assert len(ids) == len(set(ids))
    assert {address[1:] for address in addresses if address.startswith("#")} <= set(ids)


def test_each_archive_has_its_size_and_hash() -> None:
    archives = [replace(record.archive, size=5000 + n, sha256=f"{n:064x}") for n, record in enumerate(RECORDS)]
    records = [replace(record, archive=archive) for record, archive in zip(RECORDS, archives, strict=True)]
    text = index_page.page(records, models(), "1.2.3")
    for archive in archives:
        row = next(row for row in re.findall("<tr.*?</tr>", text) if archive.path in row)
        assert f"{archive.size:,} bytes" in row and archive.sha256 in row


def test_synthetic_weights_are_told_loudly(text: str) -> None:
    assert "synthetic" not in text.lower().split("<body>")[1]
    every = Reader(index_page.page(map(_synthetic, RECORDS), models(), "1")).text
    assert "SYNTHETIC WEIGHTS. The artifacts have made-up weights" in every
    one = Reader(index_page.page([_synthetic(RECORDS[0]), *RECORDS[1:]], models(), "1")).text
    assert "SYNTHETIC WEIGHTS. 1 of the artifacts have" in one
    assert re.findall(r"(\S+) SYNTHETIC (?!WEIGHTS)", one) == ["classification/1"]


def test_the_same_records_give_the_same_bytes_in_any_order(text: str) -> None:
    assert index_page.page(reversed(RECORDS), models(), "1.2.3") == text
    with pytest.raises(KeyError):
        index_page.page(RECORDS, {}, "1.2.3")
    empty = Reader(index_page.page([], models(), "1.2.3"))
    assert "0 artifacts of 0 models." in empty.text


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20) | st.text("<>&\"'`{}% \n", min_size=1))
def test_text_from_outside_is_never_markup(text: str) -> None:
    config, task, version = made_up.ARTIFACTS[0]
    hostile = replace(config, title=text, checkpoint=text)
    record = made_up.record(config, task, version)
    page, plain = (
        Reader(index_page.page([record], {config.name: shown}, tool))
        for shown, tool in ((hostile, text), (replace(config, title="x", checkpoint="x"), "x"))
    )
    assert page.elements == plain.elements
    assert " ".join(templates.visible(text).split()) in page.text


def test_the_page_needs_nothing_else(text: str) -> None:
    page = Reader(text)
    assert [own["href"] for own in page.having("link")] == ["data:,"]
    (policy,) = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not re.search(r"url\(|@import|<script|src=", text)


def test_a_filter_shows_some_artifacts_without_a_script(tab: browser.Page, text: str, tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text(text, encoding="utf-8")
    tab.open(path)
    shown = (
        "[...document.querySelectorAll('.artifacts tbody tr')].filter(row => row.getClientRects().length)"
        ".map(row => row.closest('section').dataset.model + '/' + row.querySelector('th a').textContent)"
    )
    every = [f"{r.model}/{r.task}/{r.version}" for r in RECORDS]
    assert sorted(tab.evaluate(shown)) == sorted(every)
    for chosen, wanted in (
        (("task-feature_vector",), lambda r: r.task == "feature_vector"),
        (("format-hub",), lambda r: r.task == "feature_vector" and r.format == "hub"),
        (("model-pnasnet_large",), lambda r: (r.task, r.format, r.model) == ("feature_vector", "hub", "pnasnet_large")),
        (("task-all", "format-all"), lambda r: r.model == "pnasnet_large"),
        (("model-all",), lambda r: True),
    ):
        for choice in chosen:
            tab.evaluate(f"document.getElementById('{choice}').click()")
        assert sorted(tab.evaluate(shown)) == sorted(f"{r.model}/{r.task}/{r.version}" for r in RECORDS if wanted(r))
    headings = "[...document.querySelectorAll('section.model')].filter(s => s.getClientRects().length).length"
    tab.evaluate("document.getElementById('model-nasnet_mobile').click()")
    assert tab.evaluate(headings) == 1


def test_a_model_without_the_format_is_left_out_by_the_filter(tab: browser.Page, tmp_path: Path) -> None:
    few = [record for record in RECORDS if record.model != "nasnet_large" or record.format != "hub"]
    path = tmp_path / "index.html"
    path.write_text(index_page.page(few, models(), "1"), encoding="utf-8")
    tab.open(path)
    tab.evaluate("document.getElementById('format-hub').click()")
    shown = (
        "[...document.querySelectorAll('section.model')].filter(s => s.getClientRects().length)"
        ".map(s => s.dataset.model)"
    )
    assert sorted(tab.evaluate(shown)) == ["nasnet_mobile", "pnasnet_large"]


@pytest.mark.long
@pytest.mark.parametrize(
    "format_",
    # hub.Module needs an interpreter of TensorFlow 1.
    [pytest.param("hub", marks=pytest.mark.readers), "saved_model_2"],
)
def test_programs_run(format_: str, tiny: Path, tiny_artifacts: Path, hub_modules: Path, tmp_path: Path) -> None:
    config = model(str(tiny))
    records = [made_up.record(config, "classification", version) for version in config.versions]
    programs = re.findall(
        r"<pre><code[^>]*>(.*?)</code></pre>", index_page.page(records, {config.name: config}, "1"), re.S
    )
    assert len(programs) == 2
    folders = {"hub": hub_modules, "saved_model_2": tiny_artifacts}
    # That of the default format is shown first, until a reader chooses another.
    first, second = programs
    program = (first if format_ == DEFAULT_FORMAT else second).replace("&#34;", '"')
    assert ("/3" if format_ == "hub" else "/5") in program
    program = program.replace(made_up.HUB, str(folders[format_]))
    python = environments.old() if format_ == "hub" else environments.current()
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    variables = {**environments.clean_variables(), **FOR_TINY_NETWORKS}
    command = [str(python), "program.py"]
    result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 710, 1280])
def test_a_browser_shows_all_of_it(tab: browser.Page, tmp_path: Path, width: int, scheme: str) -> None:
    configs = {name: replace(config, checkpoint="long_" * 30) for name, config in models().items()}
    path = tmp_path / "index.html"
    path.write_text(index_page.page(map(_synthetic, RECORDS), configs, "1.2.3"), encoding="utf-8")
    tab.open(path, width, media={"prefers-color-scheme": scheme})
    browser.fits(tab, width)
    assert browser.is_dark(tab) == (scheme == "dark")
    shown = tab.evaluate("document.body.innerText")
    for fact in ("SYNTHETIC WEIGHTS.", "feature_vector/5", "d4" * 32, "manifest.json"):
        assert fact in shown
