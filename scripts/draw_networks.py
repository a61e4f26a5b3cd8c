"""Draws the networks and their cells for the documentation: ``python -m scripts.draw_networks``."""

from pathlib import Path

from exporter.models.cells import FAMILIES
from exporter.models.config import models
from exporter.report import network_drawing

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"


def pictures() -> dict[str, str]:
    """The SVG of each file, by its name."""
    nasnet, pnasnet = FAMILIES["nasnet"], FAMILIES["pnasnet"]
    drawn = {
        "nasnet-normal-cell": network_drawing.cell_drawing("normal", nasnet.normal, "The normal cell of NASNet-A"),
        "nasnet-reduction-cell": network_drawing.cell_drawing(
            "reduction", nasnet.reduction, "The reduction cell of NASNet-A"
        ),
        "pnasnet-cell": network_drawing.cell_drawing("cell", pnasnet.normal, "The cell of PNASNet-5"),
        **{
            name.replace("_", "-"): network_drawing.network_drawing(name, models()[name], "classification")
            for name in ("nasnet_large", "pnasnet_large")
        },
    }
    return {f"{name}.svg": network_drawing.standalone(plot) for name, plot in drawn.items()}


def main() -> None:
    """Writes the files."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pictures().items():
        (IMAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
