"""How `make docs` makes a site of these pages: nothing is fetched, neither when it is made nor when it is read."""

import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# The help of commands is the same wherever it is made.
os.environ["NO_COLOR"] = "1"

import exporter  # noqa: E402

project = "nasexport"
author = "The nasexport developers"
project_copyright = author
version = release = exporter.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# A block of a page may be in a language that the colours know nothing of.
suppress_warnings = ["misc.highlighting_failure"]
highlight_language = "text"

autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

# Two hyphens are two hyphens.
smartquotes = False

html_theme = "furo"
html_title = f"nasexport {version}"
html_static_path: list[str] = []
html_copy_source = False
html_show_sphinx = False
html_last_updated_fmt = None
html_theme_options = {"top_of_page_buttons": []}


def _with_tree(app: Any, page: str, source: list[str]) -> None:
    """Makes of the pages that an index links to its branch of the tree, so that they are listed once."""
    if page.split("/")[-1] == "index":
        linked = dict.fromkeys(re.findall(r"\]\(([\w/-]+)\.md\)", source[0]))
        listed = "\n".join(linked)
        source[0] += f"\n```{{toctree}}\n:hidden:\n:maxdepth: 2\n\n{listed}\n```\n"


def _with_plain_defaults(app: Any, context: Any, lines: list[str]) -> None:
    """Shows a path as a user types it."""
    lines[:] = [re.sub(r"PosixPath\('([^']*)'\)", r"'\1'", line) for line in lines]


def _with_examples(app: Any, context: Any, lines: list[str]) -> None:
    """Shows the commands at the end of a help as they are typed: those below each line that ends with a colon."""
    shown: list[str] = []
    for line in "\n".join(lines).replace("\b", "").splitlines():
        text = line.strip(" |")
        if text.endswith(":"):
            shown += ["", text, "", ".. code-block:: text", ""]
        elif text:
            shown.append(f"   {text}")
    lines[:] = [*shown, ""] if shown else []


def _with_literals(app: Any, context: Any, lines: list[str]) -> None:
    """Shows options and commands within a text as such; a line does not end within one then."""
    text = re.sub(r"(?<!`)`([^`\n]+)`(?!`)", r"``\1``", "\n".join(lines))
    lines[:] = re.sub(r"(?<![\w`-])(--[a-z][a-z-]*)(?![\w`])", r"``\1``", text).split("\n")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("sphinx-click-process-description", _with_literals)
    app.connect("sphinx-click-process-epilog", _with_examples)
    app.connect("source-read", _with_tree)
    app.connect("sphinx-click-process-options", _with_plain_defaults)
