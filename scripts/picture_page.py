"""Takes the picture of a report for the README: ``python -m scripts.picture_page page.html docs/images/report.png``.

The page is what ``nasexport build nasnet_mobile --task classification --report page.html`` writes. Needs Chromium.
"""

import io
import tempfile
from pathlib import Path

import click
from PIL import Image

from tests.support import browser

#: Of the window, in pixels; half of a page's width on a forge shows it in its own size on most screens.
WIDTH, HEIGHT = 1000, 850
#: A page of text and plots has few colours; with these, the file is a third as large.
COLOURS = 64


@click.command()
@click.argument("page", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False))
def main(page: Path, output: Path) -> None:
    """Write a PNG of the top of a page."""
    if browser.CHROMIUM is None:
        raise click.ClickException("there is no Chromium here, expected chromium or google-chrome on PATH")
    with tempfile.TemporaryDirectory() as folder, browser.page(Path(folder) / "profile") as tab:
        tab.open(page, WIDTH, HEIGHT, {"prefers-color-scheme": "light"})
        tab.evaluate("document.documentElement.style.overflow = 'hidden'")  # without a scroll bar
        picture = Image.open(io.BytesIO(tab.screenshot(whole=False)))
    output.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(output, optimize=True)
    click.echo(output)


if __name__ == "__main__":
    main()
