"""HTML pages as a browser reads them."""

import html.parser
from typing import Any


class Reader(html.parser.HTMLParser):
    """What a page holds: its elements with their attributes, in order, and its text without styles."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "elements that are never closed"
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.pieces.append(data)

    def having(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        wanted = attributes.items()
        return [own for name, own in self.elements if name == tag and all(own.get(key) == text for key, text in wanted)]
