"""A small stand-in for the Hugging Face Hub: it answers what huggingface_hub asks for model repositories, from memory.

It keeps what makes publishing hard: a commit takes all of its files or none, files of LFS must have been sent before,
a token is asked for, a commit on another parent than the newest is refused. It speaks LFS, not Xet.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_0123456789abcdefghijklmnopqrstuvwx"
#: Files whose names end like this, and larger ones, are kept by LFS.
_LFS = (".gz", ".pb", ".onnx", ".keras", ".tflite", ".data-00000-of-00001")
_LARGEST_REGULAR = 100_000


@dataclass
class Stored:
    """A file of a commit; ``lfs`` says where its bytes are kept."""

    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """The hash of the blob in git: that of the file, or of the pointer to it."""
        content = self.content
        if self.lfs:
            content = f"version https://git-lfs\noid sha256:{self.sha256}\nsize {len(content)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def facts(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        if self.lfs:
            found["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 134}
        return found


@dataclass
class Repository:
    """A repository: its commits, the newest last, each with all of its files by path."""

    private: bool
    commits: list[tuple[str, dict[str, Stored]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, Stored]) -> str:
        text = json.dumps([len(self.commits), sorted((path, file.oid) for path, file in files.items())])
        oid = hashlib.sha1(text.encode()).hexdigest()
        self.commits.append((oid, files))
        return oid

    def files(self, revision: str = "main") -> dict[str, Stored] | None:
        revision = self.tags.get(revision, revision)
        if revision == "main":
            return self.commits[-1][1]
        return next((files for oid, files in self.commits if oid == revision), None)

    @property
    def head(self) -> str:
        return self.commits[-1][0]


class Hub(http.server.ThreadingHTTPServer):
    """The server, at a port of its choice. ``asked`` has the method and path of each request.

    ``before`` is called with each request and may end the connection, by returning True.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.before: Callable[[_Request], bool] = lambda request: False
        self.guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which huggingface_hub asks this server, and has the token for it."""
        return {"HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}

    def add(self, name: str, files: dict[str, bytes] | None = None) -> Repository:
        """A new public repository."""
        self.repositories[name] = repository = Repository(private=False)
        stored = {path: Stored(content, _is_large(path, len(content))) for path, content in (files or {}).items()}
        repository.commit({".gitattributes": Stored(b"*.gz filter=lfs\n", False), **stored})
        return repository

    def handle_error(self, *_: Any) -> None:
        """A client that is killed is part of the tests."""


def _is_large(path: str, size: int) -> bool:
    return path.endswith(_LFS) or size > _LARGEST_REGULAR


class _Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait until the client has acknowledged the headers
    server: Hub

    def _any(self) -> None:
        path = unquote(urlsplit(self.path).path)
        with self.server.guard:
            self.server.asked.append(f"{self.command} {path}")
        if self.server.before(self):
            self.close_connection = True
            return
        with contextlib.suppress(ConnectionError):
            self._answer(path)

    do_GET = do_HEAD = do_POST = do_PUT = _any  # noqa: N815

    def _answer(self, path: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/large/"):  # its address is a secret of its own, as those of a bucket are
            self._keep(path.removeprefix("/large/"), body)
            return
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid credentials in Authorization header"}, 401)
            return
        for pattern, answer in _ROUTES:
            if match := re.fullmatch(pattern, path):
                answer(self, body, **match.groupdict())
                return
        self._json({"error": f"{self.command} {path}"}, 404)

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(value).encode(), status, **{"Content-Type": "application/json", **headers})

    def _send(self, content: bytes, status: int = 200, **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _repository(self, name: str) -> Repository | None:
        if found := self.server.repositories.get(name):
            return found
        self._json({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        return None

    def _files(self, name: str, revision: str) -> dict[str, Stored] | None:
        repository = self._repository(name)
        if repository is None:
            return None
        files = repository.files(revision)
        if files is None:
            self._json({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
        return files

    # What is asked

    def make(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            self._json({"error": "You already created this model repo"}, 409)
            return
        self.server.add(name).private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self._json({"url": f"{self.server.url}/{name}", "name": name})

    def info(self, body: bytes, name: str, revision: str | None = None) -> None:
        repository = self._repository(name)
        if repository:
            files = [{"rfilename": path} for path in repository.files() or {}]
            facts = {"id": name, "modelId": name, "sha": repository.head, "private": repository.private}
            self._json({**facts, "siblings": files, "tags": [], "downloads": 0, "likes": 0})

    def tree(self, body: bytes, name: str, revision: str, below: str | None = None) -> None:
        files = self._files(name, revision)
        if files is None:
            return
        start = f"{below}/" if below else ""
        recursive = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() == "true"
        found: dict[str, Any] = {}
        for path, file in sorted(files.items()):
            if not path.startswith(start):
                continue
            parts = path[len(start) :].split("/")
            for depth in range(1, len(parts)):
                folder = start + "/".join(parts[:depth])
                if recursive or depth == 1:
                    found.setdefault(folder, {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40})
            if recursive or len(parts) == 1:
                found[path] = file.facts(path)
        if below and not found:
            self._json({"error": f"{below} does not exist"}, 404, X_Error_Code="EntryNotFound")
        else:
            self._json(list(found.values()))

    def paths(self, body: bytes, name: str, revision: str) -> None:
        files = self._files(name, revision)
        if files is None:
            return
        text = body.decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text)["paths"]
        found = []
        for path in [asked] if isinstance(asked, str) else asked:
            if path in files:
                found.append(files[path].facts(path))
            elif any(other.startswith(f"{path}/") for other in files):
                found.append({"type": "directory", "path": path, "size": 0, "oid": "0" * 40})
        self._json(found)

    def upload_modes(self, body: bytes, name: str, revision: str) -> None:
        files = self._files(name, revision)
        if files is not None:
            answers = []
            for file in json.loads(body)["files"]:
                mode = "lfs" if _is_large(file["path"], file["size"]) else "regular"
                there = files.get(file["path"])
                answers.append(
                    {
                        "path": file["path"],
                        "uploadMode": mode,
                        "shouldIgnore": False,
                        "oid": there.oid if there else None,
                    }
                )
            self._json({"files": answers})

    def batch(self, body: bytes, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.server.large:
                answer["actions"] = {
                    "upload": {"href": f"{self.server.url}/large/{each['oid']}?X-Amz-Signature=s3cr3t"}
                }
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def _keep(self, oid: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != oid:
            self._json({"error": "another hash"}, 400)
            return
        self.server.large[oid] = content
        self._json({})

    def validate(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def commit(self, body: bytes, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository is None:
            return
        with self.server.guard:
            files = dict(repository.files() or {})
            for line in body.decode().splitlines():
                operation = json.loads(line)
                kind, value = operation["key"], operation["value"]
                if kind == "header" and value.get("parentCommit") not in (None, repository.head):
                    self._json({"error": "A commit has happened since. Please refresh and try again."}, 412)
                    return
                if kind == "file":
                    files[value["path"]] = Stored(base64.b64decode(value["content"]), lfs=False)
                elif kind == "lfsFile":
                    if value["oid"] not in self.server.large:
                        self._json({"error": f"{value['path']} was not sent"}, 400)
                        return
                    files[value["path"]] = Stored(self.server.large[value["oid"]], lfs=True)
                elif kind == "deletedFile":
                    del files[value["path"]]
            oid = repository.commit(files)
        self._json({"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{name}/commit/{oid}"})

    def tag(self, body: bytes, name: str, revision: str) -> None:
        repository = self._repository(name)
        if repository:
            tag = json.loads(body)["tag"]
            if tag in repository.tags:
                self._json({"error": "Tag exists"}, 409)
                return
            repository.tags[tag] = repository.head if revision == "main" else revision
            self._json({})

    def refs(self, body: bytes, name: str) -> None:
        repository = self._repository(name)
        if repository:
            branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repository.head}]
            tags = [
                {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repository.tags.items()
            ]
            self._json({"branches": branches, "converts": [], "tags": tags})

    def content(self, body: bytes, name: str, revision: str, path: str) -> None:
        files = self._files(name, revision)
        if files is None:
            return
        file = files.get(path)
        if file is None:
            self._json({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
            return
        repository = self.server.repositories[name]
        commit = next(oid for oid, each in repository.commits if each is files)
        headers: dict[str, Any] = {
            "X-Repo-Commit": commit,
            "ETag": f'"{file.sha256 if file.lfs else file.oid}"',
            "Accept-Ranges": "bytes",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            self._send(file.content, **headers)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or len(file.content)), len(file.content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(file.content)}"
        self._send(file.content[start : end + 1], 206, **headers)

    def log_message(self, *_: Any) -> None:
        pass


_NAME, _REVISION = r"(?P<name>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
_ROUTES: list[tuple[str, Callable[..., None]]] = [
    ("/api/repos/create", _Request.make),
    ("/api/validate-yaml", _Request.validate),
    (f"/api/models/{_NAME}", _Request.info),
    (f"/api/models/{_NAME}/revision/{_REVISION}", _Request.info),
    (f"/api/models/{_NAME}/tree/{_REVISION}(/(?P<below>.*[^/]))?/?", _Request.tree),
    (f"/api/models/{_NAME}/paths-info/{_REVISION}", _Request.paths),
    (f"/api/models/{_NAME}/preupload/{_REVISION}", _Request.upload_modes),
    (f"/api/models/{_NAME}/commit/{_REVISION}", _Request.commit),
    (f"/api/models/{_NAME}/tag/{_REVISION}", _Request.tag),
    (f"/api/models/{_NAME}/refs", _Request.refs),
    (rf"/{_NAME}\.git/info/lfs/objects/batch", _Request.batch),
    (f"/{_NAME}/resolve/{_REVISION}/(?P<path>.+)", _Request.content),
]
