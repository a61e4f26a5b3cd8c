"""Text as a terminal and a log may have it, wherever it came from.

Names in files, paths, and what servers and other programs say may hold anything: escapes that recolour a terminal or
rename its window, marks that turn the direction of writing, line breaks that look like a line of ours, half characters
of paths that are no UTF-8. What prints goes through here, so that nobody has to know where a text came from.
"""

from collections.abc import Iterable

#: The most that a message takes, with the words before it, in bytes.
LONGEST_MESSAGE = 1000
#: The most that a line of a table takes, in bytes.
LONGEST_LINE = 4000
_MOST_LINES = 12
_CUT = " … "


def printable(text: str) -> str:
    r"""A text in one line: what no terminal shows as a character is written out, as ``\x1b``, ``\n`` or ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def joined(lines: Iterable[str]) -> str:
    """Lines of a table as one text: each stays one line, whatever is in it."""
    return "\n".join(_line(line, LONGEST_LINE) for line in lines)


def counted(count: int, noun: str) -> str:
    """``1 check``, ``1,126 checks``: a noun whose plural has an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def message(text: str, most: int = LONGEST_MESSAGE - 30) -> str:
    """A message in at most so many bytes; its lines stay lines. What is too long loses its middle."""
    lines = text.split("\n", _MOST_LINES)
    if len(lines) > _MOST_LINES:
        more = lines.pop().count("\n") + 2
        lines[-1] = f"… and {more} more lines"
    lines = [_line(line, most) for line in lines]
    share = _share([_size(line) + 1 for line in lines], most + 1)
    return "\n".join(_line(line, share - 1) for line in lines)


def _share(sizes: list[int], most: int) -> int:
    """The most that each may have, so that all together have no more than ``most``; what small ones leave is given."""
    left = most
    for count, size in zip(range(len(sizes), 0, -1), sorted(sizes), strict=True):
        if size * count > left:
            return left // count
        left -= size
    return most


def _line(text: str, most: int) -> str:
    """One line in at most ``most`` bytes, without its middle where it is longer."""
    if len(text) > 2 * most:  # a name of a gigabyte need not be gone through
        text = text[:most] + text[-most:]
    text = printable(text)
    if _size(text) <= most:
        return text
    room = max(most - len(_CUT.encode()), 2)
    content = text.encode()
    head, tail = content[: room - room // 2], content[len(content) - room // 2 :]
    return head.decode(errors="ignore") + _CUT + tail.decode(errors="ignore")


def _size(text: str) -> int:
    return len(text.encode())
