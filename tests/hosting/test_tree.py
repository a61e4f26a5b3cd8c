"""Any folder of artifacts over HTTP: listed, described, and packed for tensorflow-hub when it is asked for."""

import io
import shutil
import tarfile
import time
from pathlib import Path

import pytest
import requests

from tests.support.command import Command, files_below
from tests.support.servers import PATIENCE, Served, serving

HANDLE = "google/imagenet/tiny_nasnet/classification/4"
COMPRESSED = {"tf-hub-format": "compressed"}


@pytest.fixture
def folder(tiny_artifacts: Path, tmp_path: Path) -> Path:
    """An ``--output`` folder with one artifact, and what is none."""
    shutil.copytree(tiny_artifacts / HANDLE, tmp_path / "dist" / HANDLE)
    (tmp_path / "dist" / "notes.txt").write_text("mine")
    return tmp_path / "dist"


def _unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isfile()}
        return {name: file.read() for name, file in files.items() if file}


def _files(artifact: Path) -> dict[str, bytes]:
    return {name: (artifact / name).read_bytes() for name in files_below(artifact) if (artifact / name).is_file()}


def _waited_for(served: Served, path: str, text: str) -> str:
    """What is at an address, once it has that text: a folder is looked at now and then."""
    end = time.monotonic() + PATIENCE
    while text not in (found := requests.get(f"{served.url}/{path}", timeout=20).text):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def test_artifacts_are_served_as_they_are(own_cli: Command, folder: Path, tiny_artifacts: Path) -> None:
    with serving(own_cli, folder) as served:

        def get(path: str, **options: object) -> requests.Response:
            return requests.get(f"{served.url}/{path}", timeout=20, **options)  # type: ignore[arg-type]

        assert "is served as a folder of artifacts, not as a release" in served.logged("warning")
        index = get("")
        assert f'<a href="{HANDLE}">' in index.text and "SYNTHETIC weights" in index.text
        assert "1 artifact, " in index.text
        page = get(HANDLE).text
        assert "SYNTHETIC" in page and "verified when it was built" in page and "saved_model.pb" in page
        packed = get(HANDLE, params=COMPRESSED)
        assert packed.headers["Content-Type"] == "application/gzip"
        assert _unpacked(packed.content) == _files(folder / HANDLE)
        assert get(f"{HANDLE}.tar.gz").content == packed.content
        assert get(f"{HANDLE}/saved_model.pb").content == (folder / HANDLE / "saved_model.pb").read_bytes()
        # What is no artifact's is nobody's business.
        for path in ("notes.txt", "../dist/notes.txt", f"{HANDLE}/../../../../../notes.txt", "google", f"{HANDLE}/no"):
            answer = get(path, allow_redirects=False)
            assert answer.status_code in (302, 404) and "mine" not in answer.text
        assert HANDLE in get("nothing").text

        # What changes is packed anew, and what comes is found.
        (folder / HANDLE / "saved_model.pb").write_bytes(b"another graph")
        changed = get(HANDLE, params=COMPRESSED)
        assert _unpacked(changed.content)["saved_model.pb"] == b"another graph"
        assert changed.headers["ETag"] != packed.headers["ETag"]
        shutil.copytree(tiny_artifacts / HANDLE, folder / "more" / "5")
        assert "more/5" in _waited_for(served, "", "2 artifacts, ")
        assert served.stop() == 0
    assert files_below(own_cli.temporary) == []
    assert not [name for name in files_below(folder) if name.endswith((".gz", ".html", ".txt")) and name != "notes.txt"]
