"""The file ``checkpoint`` beside checkpoints, which names the latest of them."""

import re
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from exporter.checkpoint.files import data_files_of, index_of, is_table
from exporter.errors import CheckpointError
from exporter.validation import read
from exporter.validation import shown as quoted

#: It lists prefixes, each in a line.
_MOST_BYTES = 2**20

#: An entry in the text format of protocol buffers.
_ENTRY = re.compile(
    r"""^\s*model_checkpoint_path:\s*(?P<quote>["'])(?P<path>(?:\\.|(?!(?P=quote))[^\\\n])*)(?P=quote)""", re.MULTILINE
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_CHARACTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def named_checkpoint(state: Path, shown: str, inside: Path | None = None) -> Path:
    """The prefix of the checkpoint that a state file names, which may have moved since it was written.

    It is looked for where it was, then beside the file by the last part of its path, on whatever system that was
    written.

    Args:
        shown: what messages call the file.
        inside: a folder that it must not lead out of.

    Raises:
        CheckpointError: it names none, or what it names is not there.
    """
    try:
        content = read(state, _MOST_BYTES, lambda problem: CheckpointError(f"{shown}: {problem}"))
        match = _ENTRY.search(content.decode("utf-8"))
    except UnicodeDecodeError:
        match = None
    if not match or not match["path"]:
        raise CheckpointError(f'{shown} names no checkpoint: expected a line model_checkpoint_path: "…"')
    for path in _readings(match["path"]):
        for prefix in (state.parent / path, state.parent / Path(path).name, state.parent / PureWindowsPath(path).name):
            if _is_there(prefix) and (inside is None or prefix.resolve().is_relative_to(inside.resolve())):
                return prefix
    raise CheckpointError(
        f"{shown} names the checkpoint {quoted(match['path'])[1:-1]}, which is neither there nor beside it"
    )


def _is_there(prefix: Path) -> bool:
    try:
        if not prefix.name:
            return False
        return bool(data_files_of(prefix)) or index_of(prefix).is_file() or (prefix.is_file() and is_table(prefix))
    except (OSError, ValueError):  # no path on this system
        return False


def _readings(text: str) -> Iterator[str]:
    """What a quoted text says, and the text as it is: not all that write a path escape its backslashes."""

    def character(match: re.Match[bytes]) -> bytes:
        octal, hexadecimal, other = match.groups()
        if other:
            return _CHARACTERS.get(other, other)
        return bytes([int(octal, 8) & 0xFF if octal else int(hexadecimal, 16)])

    yield _ESCAPE.sub(character, text.encode()).decode(errors="replace")
    yield text
