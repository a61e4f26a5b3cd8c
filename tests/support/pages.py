"""The blocks of the README and of ``docs/``, and each page as one program: what a reader would paste, in order.

A comment before a block, which no reader sees, says what is special about it:

- ``<!-- not run: why -->``;
- ``<!-- exit status: 1 -->``, of a block of commands;
- ``<!-- file: NAME -->``: the block is what a file of that name has in it;
- ``<!-- runs with: READER -->``: a program of Python for another interpreter than the current one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.support.command import CHECKOUT

README = CHECKOUT / "README.md"
DOCS = CHECKOUT / "docs"
#: Languages of blocks that are programs; the others are data, or what a command prints.
PROGRAMS = {"sh", "console", "python"}
DATA = {"", "text", "toml", "yaml", "nginx", "bibtex"}
MARKS = {"not run", "exit status", "file", "runs with"}

_COMMENT = re.compile(r"<!-- ([a-z ]+): (.+) -->")
#: What comes before a page's own blocks; `wait_for` waits until somebody listens on a port of this machine.
_BEGINNING = r"""
set -eu
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
wait_for() {
  for _ in $(seq 1200); do
    if (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null; then return; fi
    sleep 0.1
  done
  echo "nobody listens on port $1" >&2
  return 1
}
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``line`` is where it begins, ``marks`` are what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    marks: Mapping[str, str]

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(CHECKOUT)}:{self.line}"

    @property
    def commands(self) -> str:
        """Of a block of commands, what is typed: of ``console``, the lines after a dollar sign."""
        if self.language == "sh":
            return self.text
        return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith("$ "))

    @property
    def runs(self) -> bool:
        return (self.language in PROGRAMS and "not run" not in self.marks) or "file" in self.marks


def pages() -> list[Path]:
    """The README, then the pages of ``docs/``, in the order of their names."""
    return [README, *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page that are no directives of the documentation's builder."""
    found = []
    marks: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            marks |= dict(_COMMENT.findall(token.content))
        elif token.type == "fence" and not token.info.startswith("{"):
            assert token.map
            found.append(Block(page, token.map[0] + 1, token.info, token.content, marks))
        if token.type != "html_block":
            marks = {}
    return found


def program(page: Path, reader: str | None = None) -> str:
    """A page as a program of bash; ``reader`` is what its programs of Python for another interpreter are run with."""
    return _BEGINNING + "\n".join(_parts([block for block in blocks(page) if block.runs], reader))


def _parts(chosen: list[Block], reader: str | None) -> Iterator[str]:
    python: list[str] = []
    for number, block in enumerate(chosen):
        following = chosen[number + 1] if number + 1 < len(chosen) else None
        if "file" in block.marks:
            yield f"cat > '{block.marks['file']}' << 'END OF FILE'\n{block.text}END OF FILE"
        elif block.language == "python":
            # Programs of Python that follow each other are one, as in a notebook.
            python.append(block.text)
            if following is None or following.language != "python":
                interpreter = str(reader) if "runs with" in block.marks else "python"
                yield f"{interpreter} - << 'END OF PROGRAM'\n{''.join(python)}END OF PROGRAM"
                python = []
        elif "exit status" in block.marks:
            yield f"status=0; (\nset -e\n{block.commands}) || status=$?; test $status = {block.marks['exit status']}"
        elif block.language == "console":
            yield f"(\n{block.commands})"
        else:
            yield re.sub(r"(?m)^(.*--port (\d+).*) &$", r"\1 &\nwait_for \2", block.commands)


def listing() -> Iterator[str]:
    """Every program of the documentation, and whether it is run: ``python -m tests.support.pages`` prints it."""
    for page in pages():
        for block in blocks(page):
            if block.language in PROGRAMS or block.runs:
                begin = block.text.splitlines()[0]
                yield f"{'runs' if block.runs else 'not run: ' + block.marks['not run']}\t{block.where}\t{begin}"


if __name__ == "__main__":
    print("\n".join(listing()))
