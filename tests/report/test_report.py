"""``--report``: the HTML page of a verification, read here as a browser reads it."""

import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporter.models.config import model
from exporter.report import evaluation_plots, templates, verification_plots
from exporter.report.page import write
from exporter.report.section import Section
from exporter.verification.results import Check, Report
from tests.support import browser, bundles, records
from tests.support.command import CHECKOUT, Command, artifact_folder, files_below, peak_memory, refusal
from tests.support.html_pages import Reader

KERNEL = "cell_0/comb_iter_0/left/separable_5x5_1/pointwise_weights"
#: The tiny network: 3 images, 11 classes.
LOGITS = 33
WRONG = "<b>wrong & \"'"
HOSTILE = "<script>alert(1)</script>\"'&\u202e\x1b"

#: The one thing that cannot be had from outside is a wrong exporter, so one is put in its place.
WRONG_EXPORTER = """
import sys

if sys.argv[-1].endswith(":EXPORT") or "serve_forks" in "".join(sys.orig_argv):
    import exporter.artifact.saved_model as module

    make = module.Writer.__init__

    def wrong(self, config, task, values):
        if task == "feature_vector":
            values = {**values, "conv0/weights": values["conv0/weights"] * 1.02}
        make(self, config, task, values)

    module.Writer.__init__ = wrong
"""


@dataclass(frozen=True)
class _Pages:
    """What the commands wrote; ``peak`` is the memory that the build's own process took, in bytes."""

    built: str
    peak: int
    verified: str
    reports: list[dict[str, Any]]


@pytest.fixture(scope="module")
def pages(tiny: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> _Pages:
    """The page of a build whose second task goes wrong; that of verifying the first, and a wrong and hostile copy."""
    cli = Command(tmp_path_factory.mktemp("report"))
    folder = cli.cwd
    options = ("--checkpoint", tiny_checkpoint, "--report")
    wrong_cli = cli.with_program_first(WRONG_EXPORTER, cli.folder).with_forked_workers()
    build = wrong_cli.start("build", tiny, "--output", "out", *options, "built")
    peak = 0
    while build.poll() is None:
        peak = max(peak, peak_memory(build.pid))
        time.sleep(0.02)
    assert build.returncode == 1
    assert "feature_vector/4 was not written: 7 of 26 checks failed" in build.communicate()[1]

    good = artifact_folder(Path("out"), "tiny_nasnet", "classification", 4)
    bundles.with_scaled(folder / good, folder / WRONG, KERNEL, 1.02)
    facts = json.loads((folder / WRONG / "nasexport.json").read_text())
    facts["handle"] = facts["source"]["layout"] = facts["model"]["title"] = HOSTILE
    facts["source"] |= {"archive": HOSTILE, "synthetic": {HOSTILE: HOSTILE}, "files": {HOSTILE: "0" * 64}}
    facts["options"][HOSTILE], facts["tool"] = HOSTILE, {"nasexport": HOSTILE, "tensorflow": HOSTILE}
    (folder / WRONG / "nasexport.json").write_text(json.dumps(facts))
    # It replaces a page, through a link.
    (folder / "verified").write_text("an older page")
    (folder / "link").symlink_to("verified")
    result = cli("verify", good, WRONG, "--json", *options, "link")
    assert result.returncode == 1, result.stderr
    assert (folder / "link").is_symlink()
    assert not [name for name in files_below(folder) if "partial" in name]
    built, verified = ((folder / name).read_bytes().decode() for name in ("built", "verified"))
    return _Pages(built, peak, verified, json.loads(result.stdout))


def test_verdicts_checks_and_provenance_are_on_the_page(pages: _Pages) -> None:
    page = Reader(pages.verified)
    assert "1 of 2 artifacts failed" in page.text
    good, wrong = pages.reports
    for report, key in ((good, "a1"), (wrong, "a2")):
        assert set(report) == {"path", "passed", "checks", "notes", "likely_cause"}
        rows = [own for own in page.having("tr") if own.get("id", "").startswith(f"{key}-c")]
        assert [own.get("class") == "failed" for own in rows] == [not check["passed"] for check in report["checks"]]
        for check in report["checks"]:
            assert templates.visible(check["name"]) in page.text
            assert " ".join(templates.visible(check["detail"]).split()) in page.text
    assert f"PASSED all {len(good['checks'])} checks passed" in page.text
    failed = sum(not check["passed"] for check in wrong["checks"])
    assert failed > 4
    assert f"FAILED {failed} of {len(wrong['checks'])} checks failed" in page.text

    facts = page.text.split("Provenance")[1]
    assert "SYNTHETIC WEIGHTS." in page.text
    assert "Weights SYNTHETIC (layout plain, model tiny_nasnet, seed 0), not published weights" in facts
    assert re.search(r"model\.ckpt\.index sha256 [0-9a-f]{64} Compared with the same files Layout plain, 0 var", facts)
    assert re.search(r"Written by nasexport [\d.]+, TensorFlow [\d.]+ Verified by nasexport [\d.]+, TensorFlow", facts)
    assert "Options batch_norm_momentum 0.99" in facts
    # What was compared with is told where it is not what the artifact names.
    assert re.search(r"Compared with model\.ckpt\.data\S+ sha256 [0-9a-f]{64}", page.text)


def test_every_value_is_in_the_plots(pages: _Pages) -> None:
    page = Reader(pages.verified)
    drawings = page.having("svg", role="img")
    assert len(drawings) == 6
    ids = [own["id"] for _, own in page.elements if "id" in own]
    assert len(ids) == len(set(ids))
    for own in drawings:
        assert set(own["aria-labelledby"].split()) <= set(ids)
    good, wrong = (_dots(page, key) for key in ("good", "wrong"))
    assert good == (LOGITS, 0)
    # Bars say the same as dots.
    told = re.findall(r"<title>(\d+) from \S+ to \S+, (within|beyond) the tolerance", pages.verified)
    assert sum(int(count) for count, what in told if what == "beyond") == wrong[1]
    assert sum(wrong) == LOGITS and wrong[1] > 0
    counts = [int(count) for count in re.findall(r"<title>(\d+) from", pages.verified)]
    assert sum(counts) == 2 * LOGITS
    assert page.text.count("There is no plot of the differences by end point") == 0


def _dots(page: Reader, which: str) -> tuple[int, int]:
    """The numbers of dots and of crosses in the scatter plot of the good or the wrong artifact."""
    scatters: list[list[str]] = []
    for tag, own in page.elements:
        if own.get("role") == "img":
            scatters.append([])
        elif tag == "path" and scatters and own.get("class") in ("dots", "crosses"):
            scatters[-1].append(own["d"])
    drawn = "".join([paths for paths in scatters if paths][("good", "wrong").index(which)])
    return drawn.count("h0"), drawn.count("m-3-3")


def test_the_same_verification_gives_the_same_bytes(pages: _Pages) -> None:
    """Building and verifying are different processes, minutes or years apart."""
    built, verified = (
        re.search(r'<section id="a1".*?</section>', text, re.DOTALL) for text in (pages.built, pages.verified)
    )
    assert built and verified and built[0] == verified[0]
    assert not re.search(r"/tmp|/home|" + re.escape(str(CHECKOUT)), pages.built + pages.verified)


def test_nothing_is_loaded_and_nothing_from_outside_is_markup(pages: _Pages) -> None:
    page = Reader(pages.verified)
    assert not re.search(r"https?:|//\w|url\(|@import", pages.verified)
    names = {name for name, _ in page.elements}
    assert not names & {"script", "b", "img", "iframe", "object", "image", "use", "base", "form"}
    assert [own["href"] for own in page.having("link")] == ["data:,"]
    assert all(own["href"].startswith("#") for own in page.having("a"))
    assert not [key for _, own in page.elements for key in own if key.startswith("on") or key == "src"]
    (policy,) = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "<script>alert(1)</script>\"'&\\u202e\\x1b" in page.text
    assert WRONG in page.text
    assert "\u202e" not in pages.verified and "\x1b" not in pages.verified


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(
    cli: Command, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "page.html", tmp_path / "no folder" / "page.html", "/dev/null"):
        began = time.monotonic()
        result = cli("verify", "an artifact", "--checkpoint", tiny_checkpoint, "--report", place)
        message = refusal(result)
        assert message.startswith(f"cannot write the page {place}: ") and len(message.splitlines()) == 1
        assert result.stderr.startswith("nasexport: error: "), "something was begun"
        assert time.monotonic() - began < 10
    assert files_below(tmp_path) == ["file"]
    result = cli("build", "nasnet_mobile", "--no-verify", "--report", tmp_path / "page.html")
    assert "cannot be combined with --no-verify" in result.stderr and result.returncode == 2


def test_a_build_that_fails_its_verification_still_has_a_page(pages: _Pages) -> None:
    page = Reader(pages.built)
    assert "1 of 2 artifacts failed" in page.text
    assert "out/google/imagenet/tiny_nasnet/feature_vector/4 NASNet-A (tiny), feature_vector, version 4" in page.text
    assert "differs first in conv0/weights" in page.text
    assert "Differences of the feature vector" in page.text
    assert ".partial" not in page.text
    if Path("/proc/self/status").exists():
        assert 10e6 < pages.peak < 300e6


def test_making_a_page_imports_no_tensorflow() -> None:
    program = (
        "import sys; from exporter.report.page import page; from exporter.report.section import Section;"
        "from exporter.verification.results import Check, Report;"
        "page([Section(Report('x', (Check('one', 0, 0),)), None)]); print('tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


# What a network of full size gives, and what it gives when it is wrong: made data, drawn without running one.

NAMES = ["Conv0", "Stem", *(f"Cell_{index}" for index in range(12)), "Reduction_Cell_0", HOSTILE, "n" * 80, "Logits"]


def _measured(error: float, end_points: Sequence[float | None]) -> dict[str, Any]:
    random = np.random.RandomState(0)
    reference = random.normal(0, 1.5, 3003).astype(np.float32)
    found = (reference + random.normal(0, 1, 3003) * error).astype(np.float32)
    return {
        "tolerance": 1e-4,
        "outputs": {"name": "logits", "reference": reference, "found": found},
        "end_points": [{"name": name, "difference": x} for name, x in zip(NAMES, end_points, strict=True)],
    }


EVALUATION: dict[str, Any] = {
    "bins": [
        {"confidence": 0.05 + 0.1 * index, "accuracy": min(1.0, 0.04 + 0.11 * index), "count": 10 * index**3}
        for index in range(10)
    ],
    "top_k": [{"k": k, "accuracy": accuracy} for k, accuracy in ((1, 0.7396), (2, 0.841), (5, 0.9157))],
    "published": {"top_1": 74.0, "top_5": 91.6},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything that one can hold."""
    passing = [0.0, *(1e-8 * 1.5**index for index in range(len(NAMES) - 1))]
    failing: list[float | None] = [*passing[:9], *(0.01 * 1.5**index for index in range(len(NAMES) - 11)), None, np.inf]
    long = Check("output, relative difference", 0.5, 1e-4, "an unbroken " + "path/" * 60)
    described = records.metadata(model("nasnet_mobile"), "classification", 4)
    crash = Check("loads and runs", float("nan"), 0, "killed by signal 11")
    sections = [
        Section(Report("good", (Check("one", 0, 0),), (), _measured(1e-7, passing)), None, EVALUATION),
        Section(Report("bad/\udcff" * 40, (long,), ("of note",), _measured(0.1, failing)), described),
        Section(Report("crash", (crash,)), None),
    ]
    path = tmp_path_factory.mktemp("made") / "page.html"
    write(path, sections)
    return path


def test_end_points_are_drawn_in_order_and_those_beyond_the_tolerance_look_different(made: Path) -> None:
    text = made.read_text(encoding="utf-8")
    good, bad = re.findall(r"<svg[^>]*a\d-end-points.*?</svg>", text, re.DOTALL)
    for drawing, beyond, zeros in ((good, 0, 1), (bad, 9, 1)):
        assert len(re.findall(r'<circle class="mark', drawing)) == len(NAMES) - beyond
        assert len(re.findall(r'<path class="mark off', drawing)) == beyond
        assert len(re.findall(r'class="mark none"', drawing)) == zeros
        assert drawing.count('class="limit"') == 1
        (path,) = Reader(drawing).having("polyline")
        rows = [float(place.split(",")[1]) for place in path["points"].split()]
        assert len(rows) == len(NAMES) and rows == sorted(rows)
    assert f"9 of {len(NAMES)} end points exceed the tolerance 0.0001, first Cell_7." in text
    assert f"All {len(NAMES)} end points are within the tolerance 0.0001" in text


@pytest.mark.parametrize("smallest", [1e-5, 1e-9, 1e-16, 1e-300])
@pytest.mark.parametrize("rows", [1, 6, 18, 24])
def test_end_points_have_room(smallest: float, rows: int) -> None:
    """On any scale and with any number of them, labels stand apart and no space is left over."""
    found = [{"name": "Reduction_Cell_0", "difference": smallest} for _ in range(rows)]
    drawing = verification_plots.end_points("k", found, 1e-4).svg
    powers = [float(x) for x in re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="middle">10', drawing)]
    assert len(powers) >= 2 and all(b - a >= 38 for a, b in itertools.pairwise(powers))
    assert max(powers) <= 366
    (height,) = re.findall(r'viewBox="0 0 380 ([\d.]+)"', drawing)
    assert rows < 18 or 600 < float(height) < 700


def test_what_did_not_run_has_no_plots_and_says_so(made: Path) -> None:
    text = made.read_text(encoding="utf-8")
    page = Reader(text[text.index('<section id="a3"') : text.index("</main>")])
    assert "FAILED 1 of 1 checks failed" in page.text
    assert "There are no plots: the artifact gave no outputs that could be compared." in page.text
    assert "not a number 0 ✗ FAILED killed by signal 11" in page.text
    assert page.having("svg", role="img") == []


def test_reliability_and_accuracies_are_drawn(made: Path) -> None:
    page = Reader(made.read_text(encoding="utf-8"))
    reliability, top_k = evaluation_plots.evaluation("k", EVALUATION)
    filled = [row for row in EVALUATION["bins"] if row["count"]]
    assert reliability.svg.count("<circle") == len(filled) == 9
    assert top_k.svg.count('class="bar"') == 3
    assert top_k.svg.count('class="published"') == 2 + 1  # and the legend
    assert "top-1 74.0 % (published 74 %); top-2 84.1 %; top-5 91.6 % (published 91.6 %)." in page.text
    images = sum(row["count"] for row in filled)
    error = sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in filled) / images
    assert f"{images:,} images in 9 bins" in page.text
    assert f"are {100 * error:.1f} percentage points apart" in page.text
    empty = evaluation_plots.evaluation("k", {"bins": [], "top_k": [], "published": {}})
    assert [Reader(plot.svg).having("circle") for plot in empty] == [[], []]


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ([], []),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 1.0], [1.0, 1.0]),
        ([1.0, np.nan, np.inf, 2.0], [1.0, 2.0, 3.0, np.nan]),
        ([-3e38, 3e38], [3e38, -3e38]),
        ([1e-40, 2e-40], [2e-40, 1e-40]),
    ],
)
def test_odd_values_are_drawn_or_told(reference: list[float], found: list[float]) -> None:
    arrays = np.array(reference, np.float32), np.array(found, np.float32)
    drawn = int((np.isfinite(arrays[0]) & np.isfinite(arrays[1])).sum())
    bars, dots = (
        verification_plots.differences("k", "logits", *arrays, 1e-4),
        verification_plots.scatter("k", "logits", *arrays, 1e-4),
    )
    assert sum(int(count) for count in re.findall(r"<title>(\d+) from", bars.svg)) == drawn
    assert dots.svg.count("h0") + dots.svg.count("m-3-3") == drawn
    for plot in (bars, dots):
        page = Reader(plot.svg)
        assert not re.search(r"[^\w](nan|inf)[^\w]", plot.svg)
        assert ("are not finite" in plot.summary) == (drawn < len(reference))
        # No label is long enough to leave the picture.
        assert all(len(piece) < 60 for piece in page.pieces if piece not in (plot.title, plot.summary))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_a_browser_shows_all_of_it(tab: browser.Page, made: Path, width: int, scheme: str) -> None:
    tab.open(made, width, media={"prefers-color-scheme": scheme})
    browser.fits(tab, width)
    assert set(tab.requests) == {made.as_uri()}
    shown = tab.evaluate("document.body.innerText")
    for text in ("PASSED", "FAILED", "Difference at each end point", "Provenance", "2 of 3 artifacts failed"):
        assert text in shown
    # Labels stay inside of their picture, and are large enough to be read.
    outside = (
        "[...document.querySelectorAll('svg.plot text')].filter(t => { const a = t.getBoundingClientRect(),"
        "b = t.ownerSVGElement.getBoundingClientRect(); return a.left < b.left - 1 || a.right > b.right + 1"
        " || a.top < b.top - 1 || a.bottom > b.bottom + 1 }).map(t => t.textContent)"
    )
    assert tab.evaluate(outside) == []
    touching = (
        "[...document.querySelectorAll('svg[aria-labelledby*=end-points]')].flatMap(s => {"
        "const boxes = [...s.querySelectorAll('text')].map("
        "t => [t.getBoundingClientRect(), t.textContent]); return boxes.flatMap(([a, x], i) => boxes.slice(i + 1)"
        ".filter(([b, y]) => a.left < b.right + 3 && b.left < a.right + 3"
        " && a.top + 3 < b.bottom && b.top + 3 < a.bottom)"
        ".map(([b, y]) => x + ' | ' + y)) })"
    )
    assert tab.evaluate(touching) == []
    heights = "[...document.querySelectorAll('svg.plot text')].map(t => t.getBBox().height * t.getScreenCTM().d)"
    sizes = [size for size in tab.evaluate(heights) if size > 0]
    assert min(sizes) > 10
    assert browser.is_dark(tab) == (scheme == "dark")


def test_colours_are_told_apart_from_their_ground(tab: browser.Page, made: Path) -> None:
    for scheme in ("light", "dark"):
        tab.open(made, media={"prefers-color-scheme": scheme})
        names = ("page", "shade", "text", "soft", "mark", "good", "bad", "caution")
        style = "getComputedStyle(document.documentElement).getPropertyValue('--{}').trim()"
        colour = {name: _luminance(tab.evaluate(style.format(name))) for name in names}
        for ground in ("page", "shade"):
            for name in names[2:]:
                low, high = sorted((colour[ground], colour[name]))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, name, ground)


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG has it, of ``#rgb`` or ``#rrggbb``."""
    digits = colour.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_it_prints_on_a4(tab: browser.Page, made: Path) -> None:
    tab.open(made, media={"prefers-color-scheme": "dark"})
    document = tab.pdf()
    assert document.startswith(b"%PDF-")
    sizes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", document)
    assert sizes and all(abs(float(x) - 595) < 1.5 and abs(float(y) - 842) < 1.5 for x, y in sizes)


def test_the_first_sheet_has_the_verdict_and_its_plots(tab: browser.Page, tmp_path: Path) -> None:
    """With as many end points as the largest network has, and all that may stand above; a sheet is one of A4 within
    its margins.
    """
    measured = _measured(1e-7, [1e-7] * len(NAMES))
    measured["end_points"] = [{"name": f"Cell_{index}", "difference": 1e-7} for index in range(24)]
    synthetic = records.source(synthetic=records.SYNTHETIC)
    described = records.metadata(model("nasnet_large"), "classification", 4, source=synthetic)
    path = tmp_path / "page.html"
    write(path, [Section(Report("good", (Check("one", 0, 0),), ("of note",), measured), described)])
    millimetre = 96 / 25.4
    tab.open(path, width=round(182 * millimetre), kind="print")
    last = tab.evaluate(
        "Math.max(...[...document.querySelectorAll('.plot')].map(p => p.getBoundingClientRect().bottom))"
    )
    assert 100 * millimetre < last < 269 * millimetre
