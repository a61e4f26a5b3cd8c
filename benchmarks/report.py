"""Results as tables in Markdown and as plots, and the marked parts of a page, which are generated from them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import plots
from benchmarks.measuring import BenchmarkError
from benchmarks.results import Figure, figures

#: A marked part names a subject or ``goals``; everything between its two comments is generated.
_PART = re.compile(r"<!-- figures: ([\w-]+) -->\n.*?<!-- end of figures -->", re.DOTALL)
GOALS = "goals"
NOTHING = "Nothing has been measured yet."


def write(stored: Mapping[str, Any], folder: Path, subjects: Sequence[str]) -> list[Path]:
    """Writes the plots into ``folder``, and the tables into the page of the same name beside it, if there is one.

    Raises:
        BenchmarkError: the page has a part for a subject that does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = _plots(stored, subjects)
    for name, svg in drawn.items():
        (folder / name).write_text(svg, encoding="utf-8")
    written = [folder / name for name in drawn]
    page = folder.with_name(folder.name + ".md")
    if page.exists():
        page.write_text(filled(page.read_text(encoding="utf-8"), stored, folder.name, subjects), encoding="utf-8")
        written.append(page)
    return written


def filled(text: str, stored: Mapping[str, Any], folder: str, subjects: Sequence[str]) -> str:
    """The page with its marked parts generated again; the text around them stays."""
    drawn = _plots(stored, subjects)

    def part(match: re.Match[str]) -> str:
        name = match[1]
        if name == GOALS:
            content = goals(stored, subjects)
        elif name in subjects:
            images = [f"![{name}]({folder}/{image})" for image in drawn if image.startswith(f"{name}.")]
            images += [f"![{name}]({folder}/{image})" for image in drawn if image.startswith(f"{name}-")]
            rows = _of(stored, name)
            content = "\n\n".join([table(rows), *([_measured_on(stored, [name])] if rows else []), *images])
        else:
            raise BenchmarkError(
                f"the page has a part for {name!r}, which nothing measures: expected {GOALS}, {', '.join(subjects)}"
            )
        return f"<!-- figures: {name} -->\n{content}\n<!-- end of figures -->"

    return _PART.sub(part, text)


def goals(stored: Mapping[str, Any], subjects: Sequence[str]) -> str:
    """All figures that have a goal, in the order of ``subjects``, and the machines that they were measured on."""
    rows = [figure for figure in figures(stored) if figure.goal and figure.subject in subjects]
    if not rows:
        return NOTHING
    return f"{table(sorted(rows, key=lambda row: subjects.index(row.subject)))}\n\n{_measured_on(stored, subjects)}"


def _measured_on(stored: Mapping[str, Any], subjects: Sequence[str]) -> str:
    """The machine, versions, dates and commits of these subjects, a line for each machine."""
    found: dict[str, tuple[list[str], set[str]]] = {}
    for key, each in sorted(stored["figures"].items()):
        if (subject := key.split("/", 1)[0]) not in subjects:
            continue
        machine = each["machine"]
        text = (
            f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; "
            f"Python {machine['python']}, TensorFlow {machine['tensorflow']}, Keras {machine['keras']}"
        )
        of_machine, when = found.setdefault(text, ([], set()))
        if subject not in of_machine:
            of_machine.append(subject)
        when.add(f"on {each['date']} at commit {each['commit']}")
    lines = []
    for text, (of_machine, when) in found.items():
        what = f"{', '.join(of_machine)}: " if len(found) > 1 else ""
        lines.append(f"Measured with {what}{text}, {'; '.join(sorted(when))}.")
    return "\n\n".join(lines)


def table(rows: Sequence[Figure]) -> str:
    """A table in Markdown; values are medians."""
    if not rows:
        return NOTHING
    runs = sorted({len(figure.runs[figure.ours]) for figure in rows})
    counted = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    lines = [
        "| figure | ratio | goal | met | nasexport | peer | others |",
        "|---|---|---|---|---|---|---|",
        *("| " + " | ".join(_cells(figure)) + " |" for figure in rows),
        "",
        f"Medians of {counted} run{'s' if runs[-1] > 1 else ''}; the ratio is nasexport's to the peer's.",
    ]
    return "\n".join(lines)


def _cells(figure: Figure) -> list[str]:
    others = [name for name in figure.runs if name not in (figure.ours, figure.peer)]
    return [
        figure.title,
        "" if figure.ratio is None else f"**{figure.ratio:.2f}**",
        goal(figure),
        {None: "", True: "yes", False: "no"}[figure.met],
        _value(figure, figure.ours) + _distance(figure),
        f"{_value(figure, figure.peer)} ({figure.peer})" if figure.peer else "",
        "; ".join(f"{_value(figure, name)} ({name})" for name in others),
    ]


def goal(figure: Figure) -> str:
    """``at most 0.50 x`` (of the peer's), or ``at most 0.3 s``."""
    if figure.goal is None:
        return ""
    unit = "x" if figure.goal.of == "ratio" else figure.unit
    limit = f"{figure.goal.limit:.2f}" if figure.goal.of == "ratio" else f"{figure.goal.limit:,g}"
    return f"at {'most' if figure.goal.most else 'least'} {limit} {unit}".rstrip()


def _value(figure: Figure, name: str) -> str:
    value = figure.median(name)
    text = plots.number(value) if figure.unit else f"{value:.4f}"
    return f"{text} {figure.unit}".rstrip()


def _distance(figure: Figure) -> str:
    if not figure.extra.get("distance") or not figure.peer:
        return ""
    return f", {plots.number(figure.median(figure.ours) - figure.median(figure.peer))} {figure.unit} more"


def _of(stored: Mapping[str, Any], subject: str) -> list[Figure]:
    return [figure for figure in figures(stored) if figure.subject == subject]


def _plots(stored: Mapping[str, Any], subjects: Sequence[str]) -> dict[str, str]:
    """SVG by file name; a subject with figures in several units has a plot for each unit."""
    drawn = {}
    for subject in subjects:
        rows = _of(stored, subject)
        for figure in rows:
            if "line" in figure.extra:
                drawn[f"{subject}-{figure.key.split('/')[1]}.svg"] = plots.growth(figure)
        # The other figures are only in the table: those drawn as lines, and feature vectors, which hardly differ.
        shown = [figure for figure in rows if "line" not in figure.extra and "/feature_vector/" not in figure.key]
        shown = [figure for figure in shown if subject != "growth"]
        for place, unit in enumerate(dict.fromkeys(figure.unit for figure in shown)):
            name = subject if place == 0 else f"{subject}-{_file_name(unit)}"
            title = subject.replace("_", "-").capitalize() + f" ({unit})"
            drawn[f"{name}.svg"] = plots.bars(title, [figure for figure in shown if figure.unit == unit])
    return drawn


def _file_name(unit: str) -> str:
    return {"MB": "memory", "s": "time", "%": "share"}.get(unit, re.sub(r"\W+", "-", unit).lower())
