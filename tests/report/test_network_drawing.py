"""The drawings of cells and networks: everything in the table of cells is on them, and a browser shows it."""

import re
from pathlib import Path

import pytest

from exporter.models import variables
from exporter.models.cells import FAMILIES, Cell
from exporter.models.config import TASKS, ModelConfig, models
from exporter.models.shapes import end_point_shapes
from exporter.report import network_drawing
from tests.support import browser
from tests.support.html_pages import Reader

CELLS = {(name, kind): getattr(family, kind) for name, family in FAMILIES.items() for kind in ("normal", "reduction")}


@pytest.mark.parametrize("cell", CELLS.values(), ids=["-".join(key) for key in CELLS])
def test_a_drawing_has_what_the_table_has(cell: Cell) -> None:
    plot = network_drawing.cell_drawing("k", cell, "A cell")
    page = Reader(plot.svg)
    branches = [branch for combination in cell.combinations for branch in combination]
    boxes = re.findall(r">(sep|avg|max|as)</text>\n<text[^>]*>([^<]*)</text>", plot.svg)
    assert boxes == [(b.kind, f"{b.kernel}×{b.kernel}") if b.kind != "none" else ("as", "it is") for b in branches]
    assert len(page.having("circle")) == len(cell.combinations)
    for state in (0, 1):
        # Its own box, and for each operation on it a box and a line; and a line where it is concatenated.
        uses = sum(branch.state == state for branch in branches)
        assert len(page.having("rect", **{"class": f"state{state}"})) == 1 + uses
        assert len(page.having("path", **{"class": f"state{state}"})) == uses + (state in cell.concatenated)
    lines = len(branches) + sum(branch.state >= 2 for branch in branches) + sum(s >= 2 for s in cell.concatenated)
    assert len([own for own in page.having("path") if "class" not in own]) == lines
    for index, (left, right) in enumerate(cell.combinations):
        told = plot.summary.lower().split(f"state {index + 2} is ")[1].split(";")[0]
        for branch in (left, right):
            assert f"of state {branch.state}" in told or f"state {branch.state} as it is" in told
    assert f"states {', '.join(map(str, cell.concatenated[:-1]))} and {cell.concatenated[-1]}" in plot.summary


@pytest.mark.parametrize("config", models().values(), ids=models())
def test_a_network_is_drawn_with_its_shapes(config: ModelConfig) -> None:
    shapes = end_point_shapes(config)
    for task in TASKS:
        plot, *cells = network_drawing.drawings("k", config, task)
        page = Reader(plot.svg)
        shown = [piece for piece in page.pieces if re.fullmatch(r"[\d,]+( × [\d,]+)*", piece)]
        numbers = [tuple(int(size.replace(",", "")) for size in text.split(" × ")) for text in shown]
        assert numbers[0] == (config.image_size, config.image_size, 3)
        assert numbers[2] == shapes["Stem"] and shapes[f"Cell_{config.num_cells - 1}"] in numbers
        assert numbers[-1] == ((config.num_classes,) if task == "classification" else (variables.features(config),))
        counted = sum(
            int(count) for count in re.findall(r">(\d+) (?:normal |reduction )?cells?(?:,[^<]*)?</text>", plot.svg)
        )
        assert counted == config.num_cells + len(config.reductions) * FAMILIES[config.family].inserts_reductions
        assert len(cells) == (2 if config.family == "nasnet" else 1)
        ids = [own["id"] for each in (plot, *cells) for _, own in Reader(each.svg).elements if "id" in own]
        assert len(ids) == len(set(ids)) == 2 * (1 + len(cells))
        assert network_drawing.drawings("k", config, task) == [plot, *cells]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_all_of_a_file(tab: browser.Page, tmp_path: Path, width: int, scheme: str) -> None:
    for number, plot in enumerate(network_drawing.drawings("k", models()["nasnet_large"], "classification")):
        path = tmp_path / f"{number}.svg"
        path.write_text(network_drawing.standalone(plot), encoding="utf-8")
        tab.open(path, width, media={"prefers-color-scheme": scheme})
        assert tab.complaints == [] and all(address.startswith("file:") for address in tab.requests)
        outside = (
            "[...document.querySelectorAll('text')].filter(t => { const a = t.getBoundingClientRect(),"
            "b = document.documentElement.getBoundingClientRect(); return a.left < b.left - 1 || a.right > b.right + 1"
            " || a.bottom > b.bottom + 1 }).map(t => t.textContent)"
        )
        assert tab.evaluate(outside) == []
        sizes = "[...document.querySelectorAll('text')].map(t => t.getBBox().height * t.getScreenCTM().d)"
        assert min(tab.evaluate(sizes)) > 10
        # Words stay inside of their boxes.
        wide = (
            "[...document.querySelectorAll('text')].filter(t => t.textContent.length < 6).map(t => t.getBBox().width)"
        )
        assert max(tab.evaluate(wide)) < 34
        colour = tab.evaluate("getComputedStyle(document.querySelector('text')).fill")
        assert (sum(map(int, re.findall(r"\d+", colour)[:3])) > 3 * 128) == (scheme == "dark")
