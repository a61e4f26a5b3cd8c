"""Text from anywhere as a terminal may have it."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter import terminal

#: With what no terminal shows, half characters included.
_ODD = "a\n\x1b\x9b\u202e\ud800é\U0001f600 "
_TEXT = st.text(st.characters(), max_size=300) | st.text(st.sampled_from(_ODD), max_size=40)
_LONG = st.builds(lambda text, times: text * times, _TEXT, st.integers(1, 60))


@settings(max_examples=200, deadline=None)
@given(text=_TEXT)
@example("\x1b]0;a title\x07")
@example("\x9b31m")
@example("a\u2028b\u2029c\x85d")
def test_a_line_is_a_line_that_every_terminal_shows(text: str) -> None:
    shown = terminal.printable(text)
    assert shown.isprintable()
    shown.encode()
    assert terminal.printable(shown) == shown
    assert all(character in shown for character in text if character.isprintable())


@settings(max_examples=200, deadline=None)
@given(text=_LONG)
@example("x" * 10**6)
@example("\n" * 100)
@example("short\n" + "é" * 5000)
def test_a_message_is_bounded(text: str) -> None:
    shown = terminal.message(text)
    assert len(f"nasexport: warning: {shown}\n".encode()) <= terminal.LONGEST_MESSAGE
    assert shown.replace("\n", "").isprintable()
    assert terminal.message(shown) == shown
    whole = "\n".join(map(terminal.printable, text.split("\n")))
    if len(whole.encode()) <= 970 and text.count("\n") < 12:
        assert shown == whole


def test_what_is_too_long_loses_its_middle_and_a_short_line_stays() -> None:
    first, second = terminal.message("a" * 3000 + "\nwhat to do").split("\n")
    assert second == "what to do"
    assert first.startswith("a" * 450) and first.endswith("a" * 450) and " … " in first


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(_LONG, max_size=5))
def test_a_table_has_as_many_lines_as_it_was_given(lines: list[str]) -> None:
    shown = terminal.joined(lines)
    assert shown.count("\n") == max(len(lines) - 1, 0)
    assert shown.replace("\n", "").isprintable()
    assert all(len(line.encode()) <= terminal.LONGEST_LINE for line in shown.split("\n"))
