"""``--mirror``, ``--checkpoint`` and ``--images`` with addresses of stores: fsspec's client asks a hub of the tests."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.errors import ConfigError, FetchError
from exporter.fetch.cache import COPYING
from exporter.fetch.remote import CHECKPOINT, Kind, local_copy
from exporter.fetch.stores import reason, store, without_secrets
from exporter.files import staging
from exporter.settings import Settings
from tests.support import pictures
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.faulty_server import serving
from tests.support.fetching import (
    FILE,
    altered,
    fetch,
    locked,
    pins,
    require_nothing_that_looks_whole,
    require_whole,
)
from tests.support.model_hub import TOKEN, Hub

NAME = "me/models"
#: Where nobody listens.
NOWHERE = "http://127.0.0.1:9/archive.tar.gz"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub()) as server:
        yield server


@pytest.fixture
def hub_cli(own_cli: Command, hub: Hub) -> Command:
    return own_cli.with_variables(**hub.variables)


def _add(hub: Hub, folder: Path, below: str = "") -> None:
    """Puts the files of a folder into a repository."""
    files = {f"{below}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in _files(folder)}
    hub.add(NAME, files)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --mirror


def test_a_mirror_may_be_a_store(hub_cli: Command, hub: Hub, content: bytes) -> None:
    hub.add(NAME, {f"archives/{FILE}": content})
    command = locked(hub_cli, NOWHERE, **pins(content))
    result = fetch(command, "--mirror", f"hf://{NAME}/archives")
    require_whole(command, result, content)
    assert f"fetching hf://{NAME}/archives/{FILE}" in result.stderr


def test_a_store_that_has_something_else_is_passed_over(hub_cli: Command, hub: Hub, content: bytes) -> None:
    hub.add(NAME, {FILE: altered(content)})
    hub.add("me/others", {FILE: content})
    command = locked(hub_cli, NOWHERE, **pins(content))
    mirrors = [option for name in (NAME, "me/nothing", "me/others") for option in ("--mirror", f"hf://{name}")]
    result = fetch(command, *mirrors)
    require_whole(command, result, content)
    assert "it is not the published file" in result.stderr and "hf://me/nothing" in result.stderr
    wrong = locked(hub_cli.with_variables(HF_TOKEN=f"{TOKEN}X", NASEXPORT_CACHE_DIR=str(hub_cli.folder / "c")), NOWHERE)
    refused = fetch(wrong, "--mirror", f"hf://{NAME}")
    assert "127.0.0.1:9" in refusal(refused, 3) and "access is refused" in refused.stderr
    assert TOKEN not in refused.stderr


def test_a_store_is_no_place_offline(hub_cli: Command, hub: Hub, content: bytes) -> None:
    hub.add(NAME, {FILE: content})
    command = locked(hub_cli, NOWHERE, **pins(content))
    assert "--offline forbids" in refusal(fetch(command, "--mirror", f"hf://{NAME}", "--offline"), 3)
    assert not hub.asked
    require_nothing_that_looks_whole(command)


def test_a_connection_that_is_cut_leaves_nothing_that_looks_whole(
    hub_cli: Command, hub: Hub, content: bytes, tmp_path: Path
) -> None:
    hub_cli = hub_cli.with_short_waits(tmp_path)
    hub.add(NAME, {FILE: content})
    hub.before = lambda request: "/resolve/" in request.path and request.command == "GET"
    command = locked(hub_cli, NOWHERE, **pins(content))
    result = fetch(command, "--mirror", f"hf://{NAME}")
    assert f"hf://{NAME}/{FILE}" in result.stderr and "connection broke off" in result.stderr
    refusal(result, 3)
    require_nothing_that_looks_whole(command)
    hub.before = lambda request: False
    require_whole(command, fetch(command, "--mirror", f"hf://{NAME}"), content)


# --checkpoint


def test_a_checkpoint_may_be_in_a_store(
    hub_cli: Command, hub: Hub, tiny: Path, tiny_checkpoint: Path, tiny_artifacts: Path, tmp_path: Path
) -> None:
    _add(hub, tiny_checkpoint.parent, "runs/17/")
    address = f"hf://{NAME}/runs/17/{tiny_checkpoint.name}"
    options = ("--version", 5, "--task", "classification", "--no-verify", "--output", tmp_path)
    succeeded(hub_cli("build", tiny, "--checkpoint", address, *options))
    ours, theirs = (
        artifact_folder(output, "tiny_nasnet", "classification", 5) for output in (tmp_path, tiny_artifacts)
    )
    assert [path.read_bytes() for path in _files(ours)] == [path.read_bytes() for path in _files(theirs)]
    # A file of it, the folder and an archive mean the same; the plan of a release has the hashes.
    plain = _planned(hub_cli, tiny, str(tiny_checkpoint))
    hub.asked.clear()
    for what in (f"{tiny_checkpoint.name}.index", ""):
        assert _planned(hub_cli, tiny, f"hf://{NAME}/runs/17/{what}".rstrip("/")) == plain
    again = _planned(hub_cli, tiny, address)
    fetched = [line for line in hub.asked if "/resolve/" in line and line.startswith("GET")]
    assert again == plain and len(fetched) == 2 * len(_files(tiny_checkpoint.parent)), "once for each address"
    hub.asked.clear()
    assert _planned(hub_cli, tiny, address, "--offline") == plain
    assert not hub.asked


def _planned(cli: Command, model: Path, checkpoint: str, *options: object) -> object:
    args = ("--models", model, "--versions", "5", "--checkpoint", f"tiny_nasnet={checkpoint}", *options)
    return json.loads(succeeded(cli("release", *args, "--plan", "--json")).stdout)


def test_what_is_no_checkpoint_in_a_store_is_told(hub_cli: Command, hub: Hub, tiny: Path) -> None:
    hub.add(NAME, {"notes.txt": b"nothing"})
    for address, said in (
        (f"hf://{NAME}/runs", "has no checkpoint"),
        ("hf://me/nothing/model.ckpt", "hf://me/nothing/model.ckpt"),
        ("nothing://bucket/model.ckpt", "fsspec knows no such place"),
        (f"hf://{NAME}/runs --offline", "has no copy"),
    ):
        path, *options = address.split(" ")
        result = hub_cli("reference", "record", tiny, "--checkpoint", path, *options)
        assert said in refusal(result, 2 if address.startswith("nothing") else 3)
    assert files_below(hub_cli.temporary) == []


# --images


def test_images_may_be_in_a_store(hub_cli: Command, hub: Hub, imagenet_artifacts: Path, tmp_path: Path) -> None:
    for number, wnid in enumerate(("n01440764", "n01443537", "n01484850")):
        pictures.written(tmp_path / "val" / wnid / f"{number}.JPEG", pictures.picture(number))
    _add(hub, tmp_path, "sets/")
    artifact = artifact_folder(imagenet_artifacts, "tiny_imagenet", "classification", 4)
    results = [
        json.loads(succeeded(hub_cli("evaluate", artifact, "--images", images, "--restart", "--json")).stdout)
        for images in (tmp_path / "val", f"hf://{NAME}/sets/val")
    ]
    here, there = ({**result, "dataset": {**result["dataset"], "folder": ""}} for result in results)
    assert here == there and here["images"] == 3

    address = f"hf://{NAME}/sets/val"
    [copy] = json.loads(succeeded(hub_cli("cache", "list", "--json")).stdout)["copies"]
    assert copy["address"] == address and copy["size"] > 0
    assert f"copy of {address}" in succeeded(hub_cli("cache", "list")).stdout
    assert not succeeded(hub_cli("cache", "prune")).stdout and Path(copy["path"]).is_dir()
    with staging.in_turn(Path(copy["path"]) / COPYING, lambda: None):
        assert not succeeded(hub_cli("cache", "prune", "--copies")).stdout
    assert copy["path"] in succeeded(hub_cli("cache", "prune", "--copies")).stdout
    assert json.loads(succeeded(hub_cli("cache", "list", "--json")).stdout)["copies"] == []


# Copies


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


_ALL = Kind("file", lambda path: True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b", "in/a", "in/deep/c"]), st.binary(min_size=1, max_size=3), min_size=1
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_copy_is_what_is_there_whatever_was_there_before(copies: Path, states: list[dict[str, bytes]]) -> None:
    source, cache = copies / "source", copies / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    for number, files in enumerate(states):
        shutil.rmtree(source, ignore_errors=True)
        for name, content in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, ns=(number, number))
        copy = local_copy(f"file://{source}", _ALL, Settings(cache_dir=cache))
        assert {path.relative_to(copy).as_posix(): path.read_bytes() for path in _files(copy)} == files


def test_a_store_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    """Names come from whoever can write to the store."""
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe("/bucket/run/model.ckpt.index", b"index")
    files.pipe("/bucket/run/../../../escaped.index", b"escaped")
    files.store["/bucket/run/../up.index"] = files.store["/bucket/run/model.ckpt.index"]
    copy = local_copy("memory://bucket/run", CHECKPOINT, Settings(cache_dir=tmp_path / "cache"))
    assert [path.name for path in _files(copy)] == ["model.ckpt.index"]
    assert not list(tmp_path.rglob("up.index")) and not list(tmp_path.rglob("escaped.index"))


# What messages say


def test_secrets_are_taken_out_of_what_libraries_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t/s3cr3t+s3cr3t")
    for text in (
        "PUT https://host/bucket/key?X-Amz-Signature=s3cr3t&x=y failed",
        "cannot connect to sftp://user:s3cr3t@host/path",
        "the key s3cr3t/s3cr3t+s3cr3t is wrong",
    ):
        assert "s3cr3t" not in without_secrets(text)
    said = without_secrets("PUT https://host/bucket/key?X-Amz-Signature=1 failed")
    assert said == "PUT https://host/bucket/key failed"


def test_a_password_in_an_address_is_not_taken_for_a_bucket(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        store("memory://user:s3cr3t@bucket/x", FetchError)
    assert "from the environment" in str(caught.value) and "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Forbidden"), "access is refused (Forbidden)"),
        (FileNotFoundError("The specified bucket does not exist"), "it is not there"),
        (OSError(28, "No space left on device"), "its disk is full"),
        (ConnectionResetError("reset by peer"), "the connection broke off"),
        (ImportError("Install s3fs to access S3"), "pip install 'nasexport[publish]'"),
        (ValueError("a line\nand another"), "ValueError: a line and another"),
    ],
)
def test_the_kind_of_an_error_says_what_is_the_matter(error: Exception, said: str) -> None:
    assert said in reason(error)


def test_paths_of_a_checkpoint_are_known_by_their_names() -> None:
    assert CHECKPOINT.wants(PurePosixPath("model.ckpt-5.data-00000-of-00001"))
    assert not CHECKPOINT.wants(PurePosixPath("model.ckpt.meta.txt"))
