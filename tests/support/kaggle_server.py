"""A small stand-in for Kaggle: it answers what kagglehub asks to send and read models, from memory.

An artifact is a variation of a model, each state of it a version, whose number Kaggle gives it.
"""

import http.server
import json
import re
from typing import Any
from urllib.parse import quote, unquote, urlsplit

TOKEN = "KGAT_0123456789abcdef0123456789abcdef"
_CONFLICT = 409


class Kaggle(http.server.ThreadingHTTPServer):
    """The server, at a port of its choice.

    ``versions`` has the files of each version of each variation, ``OWNER/MODEL/FRAMEWORK/VARIATION``; ``calls`` has the
    names of what was asked. ``left`` is how many requests are answered before connections are cut; None for all.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.models: set[str] = set()
        self.versions: dict[str, list[dict[str, bytes]]] = {}
        self.blobs: dict[str, tuple[str, bytes]] = {}
        self.calls: list[str] = []
        self.left: int | None = None
        super().__init__(("127.0.0.1", 0), _Request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def program(self) -> str:
        """What makes kagglehub, which knows no other address than Kaggle's, ask this server."""
        return (
            "try:\n    import kagglesdk.kaggle_env as environment\n"
            f"    environment._env_to_endpoint[environment.KaggleEnv.PROD] = {self.url!r}\n"
            "except ImportError:\n    pass\n"
        )

    def handle_error(self, *_: Any) -> None:
        """A client that is killed is part of the tests."""


class _Request(http.server.BaseHTTPRequestHandler):
    server: Kaggle

    def _any(self) -> None:
        if self.server.left is not None:
            self.server.left -= 1
            if self.server.left < 0:
                return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(r"/blobs/(\w+)", path):
            self.server.blobs[match[1]] = self.server.blobs[match[1]][0], body
            self._json({})
        elif match := re.fullmatch(r"/files/(.+)/(\d+)/-/(.+)", path):
            self._send(self.server.versions[match[1]][int(match[2]) - 1][match[3]])
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"code": 401, "message": "Unauthenticated"}, 401)
        else:
            call = path.rpartition("/")[2]
            self.server.calls.append(call)
            getattr(self, f"_{call}")(json.loads(body))

    do_GET = do_POST = do_PUT = _any  # noqa: N815

    def _json(self, value: Any, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status, "application/json")

    def _send(self, content: bytes, status: int = 200, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _missing(self) -> None:
        self._json({"code": 404, "message": "Not found"}, 404)

    # The calls, by the names that kagglesdk gives them

    def _GetModel(self, asked: dict[str, Any]) -> None:  # noqa: N802
        name = f"{asked['ownerSlug']}/{asked['modelSlug']}"
        self._json({"id": 1, "ref": name}) if name in self.server.models else self._missing()

    def _CreateModel(self, asked: dict[str, Any]) -> None:  # noqa: N802
        assert asked["isPrivate"]
        self.server.models.add(f"{asked['ownerSlug']}/{asked['slug']}")
        self._json({"id": 1})

    def _StartBlobUpload(self, asked: dict[str, Any]) -> None:  # noqa: N802
        token = f"blob{len(self.server.blobs)}"
        self.server.blobs[token] = asked["name"], b""
        self._json({"token": token, "createUrl": f"{self.server.url}/blobs/{token}"})

    def _CreateModelInstance(self, asked: dict[str, Any]) -> None:  # noqa: N802
        body = asked["body"]
        name = self._name({**asked, "framework": body["framework"], "instanceSlug": body["instanceSlug"]})
        if name in self.server.versions:
            self._json({"error": "It is there already.", "errorCode": _CONFLICT})
        else:
            self.server.versions[name] = [self._files(body)]
            self._json({"id": 1})

    def _CreateModelInstanceVersion(self, asked: dict[str, Any]) -> None:  # noqa: N802
        self.server.versions[self._name(asked)].append(self._files(asked["body"]))
        self._json({"id": 1})

    def _GetModelInstance(self, asked: dict[str, Any]) -> None:  # noqa: N802
        versions = self.server.versions.get(self._name(asked))
        self._json({"versionNumber": len(versions)}) if versions else self._missing()

    def _ListModelInstanceVersionFiles(self, asked: dict[str, Any]) -> None:  # noqa: N802
        files = self.server.versions[self._name(asked)][asked["versionNumber"] - 1]
        self._json({"files": [{"name": name, "size": len(content)} for name, content in files.items()]})

    def _DownloadModelInstanceVersion(self, asked: dict[str, Any]) -> None:  # noqa: N802
        path = f"/files/{self._name(asked)}/{asked['versionNumber']}/-/{asked['path']}"
        self.send_response(302)
        self.send_header("Location", self.server.url + quote(path))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _name(self, asked: dict[str, Any]) -> str:
        framework = asked["framework"].removeprefix("MODEL_FRAMEWORK_")
        return f"{asked['ownerSlug']}/{asked['modelSlug']}/{framework}/{asked['instanceSlug']}"

    def _files(self, folder: dict[str, Any], start: str = "") -> dict[str, bytes]:
        """The files of an upload, by their paths: kagglehub names each by its blob."""
        blobs = [self.server.blobs[file["token"]] for file in folder.get("files", ())]
        found = {start + name: content for name, content in blobs}
        for inner in folder.get("directories", ()):
            found |= self._files(inner, f"{start}{inner['name']}/")
        return found

    def log_message(self, *_: Any) -> None:
        pass
