"""A real browser for tests: headless Chromium, spoken to in its own protocol through a pipe; needs no other package."""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
_TIMEOUT = 60


class Page:
    """A tab. ``complaints`` is what its console was told, ``requests`` the addresses it asked for."""

    def __init__(self, pipe: "_Pipe", session: str):
        self._pipe, self._session = pipe, session
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(
        self,
        path: Path,
        width: int = 1280,
        height: int = 900,
        media: Mapping[str, str] | None = None,
        kind: str = "",
    ) -> None:
        """Shows a file in a window of that size, as on a screen; ``media`` are features, such as
        ``prefers-color-scheme``, and ``kind`` is another kind of them (``print``: as on paper, in one long sheet).
        """
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": name, "value": value} for name, value in (media or {}).items()]
        self._call("Emulation.setEmulatedMedia", media=kind, features=features)
        self._pipe.seen.clear()
        self._call("Page.navigate", url=path.resolve().as_uri())
        self._pipe.until(lambda message: message.get("method") == "Page.loadEventFired")
        self.evaluate("1")  # what the page said before has arrived now
        self._take_events()

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression; works where a page forbids scripts of its own."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, whole: bool = True) -> bytes:
        """A PNG of the whole page, or of what the window shows of it."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """The page as it is printed, in the size that it asks for."""
        answer = self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, **parameters: Any) -> Any:
        return self._pipe.call(method, self._session, parameters)

    def _take_events(self) -> None:
        for message in self._pipe.seen:
            method, parameters = message.get("method"), message.get("params", {})
            if method == "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            elif method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.complaints.append(json.dumps(parameters))
        self._pipe.seen.clear()


def fits(page: Page, width: int) -> None:
    """Nothing of the page lies beyond a window of that width, and nothing was complained about."""
    assert page.complaints == []
    root = "document.documentElement"
    inner, whole, own = page.evaluate(f"[innerWidth, {root}.scrollWidth, {root}.clientWidth]")
    # Without a horizontal scroll bar; a vertical one may take a part of the width.
    assert inner == width and whole <= own
    beyond = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)"
    assert page.evaluate(f"{beyond}.map(e => e.outerHTML.slice(0, 80))") == []


def is_dark(page: Page) -> bool:
    """Whether the page's ground is."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) < 3 * 128


@contextlib.contextmanager
def page(profile: Path) -> Iterator[Page]:
    """A tab of a browser that keeps its files in ``profile``, a folder that does not exist yet."""
    assert CHROMIUM
    to_browser, own_end = os.pipe()
    other_end, from_browser = os.pipe()
    # It reads from 3 and writes to 4, wherever the pipes were; a shell can put them there.
    moved = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
    process = subprocess.Popen(
        ["/bin/bash", "-c", moved, CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        pass_fds=(to_browser, from_browser),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(profile.parent)},
    )
    os.close(to_browser)
    os.close(from_browser)
    with os.fdopen(own_end, "wb") as requests, os.fdopen(other_end, "rb") as answers:
        pipe = _Pipe(requests, answers)
        try:
            target = pipe.call("Target.createTarget", None, {"url": "about:blank"})["targetId"]
            session = pipe.call("Target.attachToTarget", None, {"targetId": target, "flatten": True})["sessionId"]
            yield Page(pipe, session)
            pipe.call("Browser.close", None, {})
            process.wait(_TIMEOUT)
        finally:
            process.kill()
            process.wait()


class _Pipe:
    """Messages are JSON, each ended by a zero byte."""

    def __init__(self, requests: Any, answers: Any):
        self._requests, self._answers = requests, answers
        self._count = 0
        self._buffer = b""
        self.seen: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None, parameters: Mapping[str, Any]) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._requests.write(json.dumps(message).encode() + b"\0")
        self._requests.flush()
        count = self._count
        answer = self.until(lambda message: message.get("id") == count)
        assert "error" not in answer, answer
        return answer["result"]

    def until(self, wanted: Any) -> dict[str, Any]:
        """The next message that is wanted; events that come before it are kept in ``seen``."""
        while True:
            while b"\0" not in self._buffer:
                chunk = self._answers.read1(2**16)
                assert chunk, "the browser ended"
                self._buffer += chunk
            text, self._buffer = self._buffer.split(b"\0", 1)
            message = json.loads(text)
            if wanted(message):
                return message
            self.seen.append(message)
