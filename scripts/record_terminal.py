"""Records a terminal as an animated SVG: ``python -m scripts.record_terminal first-minute`` writes docs/images/.

Commands run in a pseudo-terminal, and a terminal emulator (pyte) says what its screen shows. What is written is the
screen whenever it changed, with pauses cut to a second or two; a picture without motion shows the last screen. The file
stands alone: no script, and no font from elsewhere.
"""

import fcntl
import os
import pty
import select
import shlex
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import click
import pyte

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
#: What each recording types.
RECORDINGS = {
    "first-minute": (
        "nasexport synth nasnet_mobile --output synthetic.tar.gz",
        "nasexport build nasnet_mobile --task classification --checkpoint synthetic.tar.gz --report page.html",
        "nasexport inspect dist/google/imagenet/nasnet_mobile/classification/4",
    ),
    "release": (
        "nasexport synth nasnet_mobile --output synthetic.tar.gz",
        "nasexport release --models nasnet_mobile --versions 4 --checkpoint nasnet_mobile=synthetic.tar.gz",
        "nasexport release verify --files-only release",
    ),
    "old-handles": (
        "cat train.py",
        "nasexport synth nasnet_mobile --output synthetic.tar.gz",
        "nasexport build nasnet_mobile --task feature_vector --checkpoint synthetic.tar.gz",
        "nasexport handles install hub-cache --release dist",
        "TFHUB_CACHE_DIR=hub-cache python train.py 2> messages.txt",
    ),
}
#: A program of the time of tfhub.dev, which is there before a recording begins.
TRAIN = """\
import tensorflow_hub as hub

model = hub.load("https://tfhub.dev/google/imagenet/nasnet_mobile/feature_vector/4")
print(len(model.variables), "variables, of which", len(model.trainable_variables), "are trained")
"""
COLUMNS, ROWS = 110, 28
#: Seconds between two looks at the screen, and the least and most for which one is shown.
_LOOK, _SHORTEST, _LONGEST, _LAST = 0.4, 0.4, 1.5, 6.0
#: No recording has more screens than this; those of progress are left out evenly.
_MOST = 60
# Places in the picture, in units of SVG.
_CELL, _LINE, _SIZE, _EDGE, _BAR = 8.4, 19, 14, 16, 30
_FONT = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
#: Of a dark terminal; what a program asks for by another number gets the colour of text.
_COLOURS = {
    "default": "#e6e6e6", "black": "#6e7681", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341",
    "blue": "#79c0ff", "magenta": "#d2a8ff", "cyan": "#76e3ea", "white": "#ffffff",
}  # fmt: skip

#: A run of cells that look alike: column, text, colour, whether bold.
Run = tuple[int, str, str, bool]
#: A line of a screen.
Row = tuple[Run, ...]


@dataclass
class Screen:
    """What a terminal shows, and for how many seconds it did."""

    rows: tuple[Row, ...]
    seconds: float


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=IMAGES)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Run there. [default: a new one]")
def main(names: Sequence[str], output: Path, folder: Path | None) -> None:
    """Record terminals, by default all of them."""
    for name in names or RECORDINGS:
        with tempfile.TemporaryDirectory() as own:
            place = folder or Path(own)
            (place / "train.py").write_text(TRAIN, encoding="utf-8")
            screens = record(RECORDINGS[name], place)
        output.mkdir(parents=True, exist_ok=True)
        path = output / f"{name}.svg"
        path.write_text(svg(screens), encoding="utf-8")
        click.echo(path)


def record(commands: Sequence[str], folder: Path) -> list[Screen]:
    """The screens of a terminal in which commands are typed one after the other, each of which must succeed."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    found: list[Screen] = []
    for command in commands:
        stream.feed(f"\x1b[1;32m$\x1b[0m {command}".encode())
        _look(found, screen, _LONGEST)
        stream.feed(b"\r\n")
        for chunk, seconds in _run(command, folder):
            # Where it was recorded is nobody's business: that folder stands for a home.
            stream.feed(chunk.replace(str(folder).encode(), b"~"))
            _look(found, screen, seconds)
    stream.feed(b"\x1b[1;32m$\x1b[0m ")
    _look(found, screen, 0)
    return _fewer(found)


def _look(found: list[Screen], screen: pyte.Screen, seconds: float) -> None:
    rows = tuple(_row(screen, number) for number in range(ROWS))
    if found and found[-1].rows == rows:
        found[-1].seconds += seconds
    else:
        found.append(Screen(rows, seconds))


def _row(screen: pyte.Screen, number: int) -> Row:
    runs: list[Run] = []
    for column in range(COLUMNS):
        cell = screen.buffer[number][column]
        colour = _COLOURS.get(cell.fg.removeprefix("bright"), _COLOURS["default"])
        if runs and runs[-1][2:] == (colour, cell.bold):
            runs[-1] = (runs[-1][0], runs[-1][1] + cell.data, colour, cell.bold)
        else:
            runs.append((column, cell.data, colour, cell.bold))
    return tuple(run for run in runs if run[1].strip())


def _run(command: str, folder: Path) -> Iterator[tuple[bytes, float]]:
    """What a command writes to its terminal, in pieces, and the seconds that each stays."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        os.environ.pop("NO_COLOR", None)
        os.environ |= {"TERM": "xterm-256color", "NASEXPORT_CACHE_DIR": str(folder / "cache")}
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        if command.startswith("nasexport "):
            os.execv(sys.executable, [sys.executable, "-m", "exporter", *shlex.split(command)[1:]])
        os.execv("/bin/sh", ["sh", "-c", command])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    held, since = b"", time.monotonic()
    while True:
        ready, _, _ = select.select([terminal], [], [], _LOOK)
        try:
            chunk = os.read(terminal, 1 << 16) if ready else b""
        except OSError:  # Linux's way to say that nobody writes any more
            break
        held += chunk
        now = time.monotonic()
        if now - since >= _LOOK:
            yield held, now - since
            held, since = b"", now
    yield held, time.monotonic() - since
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise click.ClickException(f"{command} ended with exit status {status}, expected 0:\n{held.decode()}")


def _fewer(found: list[Screen]) -> list[Screen]:
    """At most `_MOST` screens: the first and last, and what is between them at even distances."""
    if len(found) <= _MOST:
        return found
    chosen = sorted({round(number * (len(found) - 1) / (_MOST - 1)) for number in range(_MOST)})
    return [found[number] for number in chosen]


def svg(screens: Sequence[Screen]) -> str:
    """An animation of screens; a row that several of them have is there once."""
    rows = {
        row: f"r{number}" for number, row in enumerate(dict.fromkeys(r for each in screens for r in each.rows if r))
    }
    times = [min(max(each.seconds, _SHORTEST), _LONGEST) for each in screens[:-1]] + [_LAST]
    total = sum(times)
    width, height = COLUMNS * _CELL + 2 * _EDGE, ROWS * _LINE + _BAR + _EDGE
    keyframes, frames, begun = [], [], 0.0
    for number, (screen, seconds) in enumerate(zip(screens, times, strict=True)):
        begin, end = 100 * begun / total, 100 * (begun + seconds) / total
        begun += seconds
        last = number == len(screens) - 1
        before = "0%{visibility:hidden}" if begin else ""
        after = "" if last else f"{end:.3f}%{{visibility:hidden}}"
        keyframes.append(f"@keyframes k{number}{{{before}{begin:.3f}%{{visibility:visible}}{after}}}")
        keyframes.append(f"#s{number}{{animation:k{number} {total:.1f}s step-end infinite}}")
        uses = "".join(
            f'<use href="#{rows[row]}" y="{place * _LINE}"/>' for place, row in enumerate(screen.rows) if row
        )
        frames.append(f'<g id="s{number}" class="{"last" if last else "screen"}">{uses}</g>')
    drawn = "".join(f'<g id="{name}">{"".join(map(_text, row))}</g>\n' for row, name in rows.items())
    said = escape(" ".join(run[1].strip() for row in screens[-1].rows for run in row))
    dots = "".join(f'<circle cx="{18 + 18 * n}" cy="15" r="5.5" fill="#4b535d"/>' for n in range(3))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">
<title>{said}</title>
<style>
text {{ font: {_SIZE}px {_FONT}; white-space: pre; }}
.screen {{ visibility: hidden; }}
@media (prefers-reduced-motion: no-preference) {{
{chr(10).join(keyframes)}
}}
</style>
<defs>
{drawn}</defs>
<rect width="100%" height="100%" rx="8" fill="#161b22"/>{dots}
<g transform="translate({_EDGE} {_BAR + _SIZE})">
{chr(10).join(frames)}
</g>
</svg>
"""


def _text(run: Run) -> str:
    column, text, colour, bold = run
    # As wide as its cells, whichever font there is.
    ahead = len(text) - len(text.lstrip())
    shown = text.strip()
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{(column + ahead) * _CELL:g}" fill="{colour}"{weight} textLength="{len(shown) * _CELL:g}" '
        f'lengthAdjust="spacingAndGlyphs" xml:space="preserve">{escape(shown)}</text>'
    )


if __name__ == "__main__":
    main()
