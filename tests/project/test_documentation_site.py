"""The site that `make docs` makes: without a warning, with nothing from elsewhere, with every command and option."""

import html
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

from exporter.cli.main import main
from tests.support.command import CHECKOUT
from tests.support.pages import DOCS

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Sphinx 9 needs Python 3.11")

#: What a browser reads by itself: these attributes of these tags. Links to other sites are for people to follow.
_READ = {
    "audio": "src", "embed": "src", "iframe": "src", "image": "href", "img": "src", "link": "href", "object": "data",
    "script": "src", "source": "src", "use": "href", "video": "src",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made as the Makefile says, in another folder, where no proxy leads to a network."""
    text = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    (command,) = re.findall(r"(?m)^DOCS = \$\(BIN\)/python (.*)$", text)
    folder = tmp_path_factory.mktemp("site")
    places = ("--doctree-dir", folder / "trees", DOCS, folder / "html")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:1")
    made = subprocess.run(
        [sys.executable, *shlex.split(command), *map(str, places)],
        cwd=CHECKOUT,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return folder / "html"


class _Addresses(HTMLParser):
    """What a page has a browser read."""

    def __init__(self, page: Path):
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each tag."""
        own = dict(attrs)
        if tag != "link" or own.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.found += [value for name, value in own.items() if value and name == _READ.get(tag)]
        self.found += re.findall(r"url\(([^)]+)\)", own.get("style") or "")


def test_no_page_reads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        addresses = _Addresses(page).found
        assert len(addresses) > 3
        for address in addresses:
            assert not re.match(r"[a-z+]*:?//", address), (page, address)
            if not address.startswith("data:"):
                assert (page.parent / re.split(r"[?#]", address)[0]).exists(), (page, address)
    for style in site.rglob("*.css"):
        assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", style.read_text(encoding="utf-8")), style


def test_every_page_is_in_the_tree(site: Path) -> None:
    """Sphinx complains of a page that is in none, and each is reached from the first one's side bar."""
    listed = set(re.findall(r'<a class="reference internal" href="([^"#]+)"', (site / "index.html").read_text("utf-8")))
    made = {page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")}
    assert made - listed - {"index.html"} == set()


def _commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, context.command
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            inner = context.command.get_command(context, name)
            assert inner
            if not inner.hidden:
                yield from _commands(click.Context(inner, parent=context, info_name=name))


def test_every_command_and_option_is_on_the_page_of_commands(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    ends = set(re.findall(r'id="([^"]+)"', page))
    commands = list(_commands(click.Context(main, info_name="nasexport", **main.context_settings)))
    assert len(commands) > 20
    for path, command in commands:
        assert re.sub(r"\W+", "-", path) in ends, path
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden and "--help" not in parameter.opts:
                option = parameter.opts[-1].lstrip("-")
                assert f"cmdoption-{path.replace(' ', '-')}-{option}" in ends, f"{path} --{option}"
    # What a shell completes with is no example.
    examples, completion = text.split("Examples:")[1].split("Completion,")
    assert examples.strip() == "nasexport build nasnet_large\nnasexport COMMAND --help"
    assert completion.split("build", 1)[0].count("_NASEXPORT_COMPLETE=") == 3
    assert "PosixPath" not in text and "--overwrite" in text and "\u2013overwrite" not in text


def test_python_is_documented_with_types(site: Path) -> None:
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("nasexport.build", "nasexport.verify", "nasexport.errors.NasexportError"):
        assert f'id="{name}"' in page, name
    assert "Return type" in page and "Raises" in page
