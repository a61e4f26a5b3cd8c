"""The report of an artifact, held against its record: all of it follows from that, but the numbers in its plots.

The plots show what was measured, which depends on the processor and which no record has. They must be of the kind that
reports have: lines, marks and texts of known forms, in which numbers alone are free.
"""

import re
from collections.abc import Iterator

from markupsafe import escape

from exporter.artifact.metadata import Metadata
from exporter.models import variables
from exporter.models.formats import FORMATS
from exporter.models.signatures import SERVING_OUTPUTS
from exporter.reference import recorded
from exporter.release.manifest import Record
from exporter.report import page
from exporter.report.section import Section, template_values
from exporter.report.svg import escaped, truncated, with_spaces
from exporter.verification.results import TOLERANCE, Check, Report

_KEY = "a1"
_BEFORE, _AFTER = "<h3>What was measured</h3>\n", "<h3>Checks</h3>\n"
_FIGURE = re.compile(
    r"<figure>\n<figcaption><strong>([^<>]*)</strong> ([^<>]*)</figcaption>\n\n?"
    r"(<svg class=\"plot\".*?</svg>)\n</figure>\n",
    re.DOTALL,
)
_NUMBER = re.compile(r"[-+−±]?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+−]?\d+)?[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]*")
_N = r"-?\d+(?:\.\d)?"
_ANCHOR = r'text-anchor="(?:start|middle|end)"'
#: Each line between the first and the last of a plot is one of these, with a text that reports have.
_LINES = tuple(
    re.compile(line)
    for line in (
        r'<path class="(?:grid|limit|axis|equal)" d="[MLVH\d.,-]*"/>()',
        rf'<text(?: class="limit-label")? x="{_N}" y="{_N}" {_ANCHOR}>([^<>]*)</text>',
        rf'<text transform="translate\(11 {_N}\) rotate\(-90\)" {_ANCHOR}>([^<>]*)</text>',
        r'<polyline class="path" points="[\d., -]*"/>()',
        rf'<circle class="mark(?: none)?" cx="{_N}" cy="{_N}" r="3\.5"><title>([^<>]*)</title></circle>',
        rf'<rect class="bar" x="{_N}" width="{_N}" y="{_N}" height="{_N}"><title>([^<>]*)</title></rect>',
        rf'<path class="dots" stroke-width="{_N}" d="[Mh\d.,-]*"/>()',
    )
)
_SIZE = re.compile(rf'viewBox="0 0 {_N} {_N}"')
#: What a verification against a reference from the cache notes; `exporter.verification.verify.record` records those.
_RECORDED_WITH = re.compile(r"nasexport's TF-Slim graph under TensorFlow [0-9A-Za-z.-]+")


def expected(record: Record, metadata: Metadata, found: str) -> str:
    """The page that a record gives, with the plots of the page that was found where those are of the right kind."""
    checks = tuple(
        Check(check.name, float("nan") if check.figure is None else check.figure, check.tolerance, check.detail)
        for check in record.checks
    )
    source = record.source
    measured = {
        "tolerance": TOLERANCE,
        "outputs": None,
        "end_points": None,
        "runtime": FORMATS[record.format].runtime_text(lambda package: record.inputs["packages"][package]),
        "source": {"archive": source.archive, "archive_sha256": source.archive_sha256, "files": source.files},
    }
    values = template_values(
        _KEY, Section(Report(record.handle, checks, tuple(_notes(record, metadata, found)), measured), metadata)
    )
    reasons = dict(zip(("end-points", "outputs"), values["missing_plots"], strict=True))
    values["missing_plots"] = []
    text = page.rendered([values])
    block = found.partition(_BEFORE)[2].partition(_AFTER)[0]
    if _is_sound(block, reasons, record, metadata):
        text = text.replace(_BEFORE, _BEFORE + block, 1)
    return text


def _notes(record: Record, metadata: Metadata, found: str) -> Iterator[str]:
    """What the report notes on a recorded reference; one that does not ship is known by what the page says of it."""
    if record.inputs["reference"] is None:
        return
    if path := recorded.shipped(record.source.files):
        yield f"compared with a recorded reference ({recorded.load(path, metadata.model)[1].recorded_with})"
        return
    match = _RECORDED_WITH.search(found.replace("&#39;", "'"))
    yield f"compared with a recorded reference ({match[0] if match else 'that it names'})"


def _is_sound(block: str, reasons: dict[str, str], record: Record, metadata: Metadata) -> bool:
    """Whether a part of a page has nothing but the plots of a report, and why others are missing."""
    wanted = _texts(record, metadata)
    figures = list(_FIGURE.finditer(block))
    keys = []
    for figure in figures:
        key = next((key for key in wanted if f'<title id="{_KEY}-{key}-t">' in figure[3]), None)
        if key is None or not _is_plot(key, figure, wanted[key]):
            return False
        keys.append(key)
    if keys not in (["end-points", "differences", "scatter"], ["differences", "scatter"], ["end-points"], []):
        return False
    missing = [reasons["end-points"]] if "end-points" not in keys else []
    missing += [reasons["outputs"]] if "scatter" not in keys else []
    plots = "".join(figure[0] for figure in figures)
    whole = f'<div class="plots">\n{plots}</div>\n' if plots else ""
    return block == whole + "".join(f'<p class="soft">{escape(reason)}</p>\n' for reason in missing)


def _is_plot(key: str, figure: "re.Match[str]", texts: set[str]) -> bool:
    title, summary, svg = figure.groups()
    head, *lines, end = svg.split("\n")
    size = _SIZE.search(head)
    ids = f"{_KEY}-{key}"
    if size is None or end != "</svg>" or not {_masked(title), _masked(summary)} <= texts:
        return False
    if head != (
        f'<svg class="plot" role="img" {size[0]} aria-labelledby="{ids}-t {ids}-d">'
        f'<title id="{ids}-t">{title}</title><desc id="{ids}-d">{summary}</desc>'
    ):
        return False
    for line in lines:
        match = next(filter(None, (pattern.fullmatch(line) for pattern in _LINES)), None)
        if match is None or _masked(match[1]) not in texts:
            return False
    return True


def _texts(record: Record, metadata: Metadata) -> dict[str, set[str]]:
    """The texts of each plot, their numbers masked."""
    names = variables.end_points(metadata.model)
    output = with_spaces(SERVING_OUTPUTS[record.task])
    bottom = "From the input at the top to the output at the bottom."
    within = "All 0 end points are within the tolerance 0; the largest difference is 0, at"
    both = ["", "0", "tolerance 0"]
    texts = {
        "end-points": [
            *both, "Difference at each end point", "relative difference (no unit, log scale)",
            *(text for name in names for text in (truncated(name), f"{name}: 0", f"{within} {name}. {bottom}")),
        ],
        "differences": [
            *both, f"Differences of the {output}", "number of values", "0 from 0 to 0, within the tolerance",
            *(f"artifact − reference, {output}{scale} (no unit)" for scale in ("", ", in 10⁻⁴")),
            "Of 0 values 0 are equal; the largest difference is 0, the largest allowed one 0.",
        ],
        "scatter": [
            *both, f"The {output} of the artifact over those of the reference",
            f"reference, {output} (no unit)", f"artifact, {output} (no unit)",
            "0 values, none differs by more than allowed; equal values lie on the diagonal.",
        ],
    }  # fmt: skip
    return {key: {_masked(escaped(text)) for text in of_plot} for key, of_plot in texts.items()}


def _masked(text: str) -> str:
    return _NUMBER.sub("#", text)
