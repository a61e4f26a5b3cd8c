"""`nasexport handles`: the real tensorflow-hub loads old addresses from its cache, without a network."""

import hashlib
import http.server
import json
import re
import shutil
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.support import file_operations, programs
from tests.support.command import Command, artifact_folder, files_below, refusal, succeeded
from tests.support.order import one_in_make_test
from tests.support.releases import add_artifact, finish, replace_manifest, write_release
from tests.support.servers import serving

NAME = "google/imagenet/tiny_nasnet"
TFHUB = f"https://tfhub.dev/{NAME}/classification"
KAGGLE = "https://www.kaggle.com/models/google/tiny"
#: Addresses of a classification of versions 4, 5, 3, and of a feature vector, in the ways that programs write them.
ADDRESSES = {
    f"{TFHUB}/4": ("classification", 4),
    f"{KAGGLE}/frameworks/tensorFlow2/variations/nasnet-classification/versions/2": ("classification", 5),
    f"{KAGGLE.replace('www.', '')}/TensorFlow1/nasnet-classification/3": ("classification", 3),
    f"{KAGGLE}/TensorFlow2/nasnet-feature-vector/1": ("feature_vector", 4),
}
#: Old addresses of an artifact.
EACH = 9


@pytest.fixture(scope="module")
def artifacts(tiny_artifacts: Path, hub_modules: Path) -> dict[tuple[str, int], Path]:
    return {
        (task, version): artifact_folder(hub_modules if version < 4 else tiny_artifacts, "tiny_nasnet", task, version)
        for task, version in ADDRESSES.values()
    }


@pytest.fixture(scope="module")
def release(artifacts: dict[tuple[str, int], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that no test may change."""
    return write_release(tmp_path_factory.mktemp("handles") / "release", artifacts.values())


_LOAD = """
import json, socket, sys
import numpy as np
import tensorflow as tf, tensorflow_hub as hub

def refused(*_):
    raise AssertionError("the network was asked")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refused
images = tf.constant(np.load(sys.argv[1]))
arrays = {}
for number, address in enumerate(sys.argv[3:]):
    loaded = hub.load(address)
    arrays[str(number)] = loaded(images) if callable(loaded) else loaded.signatures["default"](images)["default"]
np.savez(sys.argv[2], **arrays)
print(json.dumps(hub.__version__))
"""


def _outputs(cli: Command, cache: Path, folder: Path, *addresses: object) -> list[Any]:
    np.save(folder / "images.npy", np.random.default_rng(0).random((2, 64, 64, 3), np.float32))
    command = cli.with_variables(TFHUB_CACHE_DIR=str(cache))
    arguments = (folder / "images.npy", folder / "outputs.npz", *addresses)
    programs.said(programs.run_with_tensorflow(command, _LOAD, *arguments))
    with np.load(folder / "outputs.npz") as found:
        return [found[str(number)] for number in range(len(addresses))]


@pytest.mark.long
def test_old_addresses_load_what_was_installed(
    cli: Command, release: Path, artifacts: dict[tuple[str, int], Path], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    result = succeeded(cli("handles", "install", cache, "--release", release))
    lines = result.stdout.splitlines()
    assert len(lines) == len(artifacts)
    assert all(re.fullmatch(rf"installed  {NAME}/\w+/\d +{EACH} addresses", line) for line in lines)
    listed = json.loads(succeeded(cli("handles", "list", cache, "--json")).stdout)["addresses"]
    assert set(ADDRESSES) <= {each["address"] for each in listed}
    assert f"set TFHUB_CACHE_DIR={cache} where programs run" in result.stderr
    expected = [artifacts[which] for which in ADDRESSES.values()]
    found = _outputs(cli, cache, tmp_path, *ADDRESSES, *expected)
    for address, output, wanted in zip(ADDRESSES, found, found[len(ADDRESSES) :], strict=False):
        np.testing.assert_array_equal(output, wanted, err_msg=address)
    # The files of an artifact are there once, however many addresses it has.
    sizes = {path.stat().st_ino: path.stat().st_size for path in cache.rglob("*") if path.suffix != ".txt"}
    own = {path: path.stat().st_size for folder in artifacts.values() for path in folder.rglob("*") if path.is_file()}
    assert sum(size for inode, size in sizes.items() if size in own.values()) <= sum(own.values())


def test_what_is_installed_is_listed_kept_and_removed(own_cli: Command, release: Path) -> None:
    own_cli = own_cli.with_variables(TFHUB_CACHE_DIR=str(own_cli.cwd / "cache"))
    only = ("--release", release, "--handle", "*/classification/4")
    assert succeeded(own_cli("handles", "list")).stdout == f"{own_cli.cwd / 'cache'} has no addresses\n"
    first = json.loads(succeeded(own_cli("handles", "install", *only, "--json")).stdout)
    assert first["cache"] == str(own_cli.cwd / "cache") and len(first["addresses"]) == EACH
    assert first["addresses"][0] == {
        "address": f"{TFHUB}/4",
        "handle": f"{NAME}/classification/4",
        "state": "installed",
    }
    before = files_below(own_cli.cwd)
    again = succeeded(own_cli("handles", "install", *only)).stdout
    assert [line.split()[0] for line in again.splitlines()] == ["kept"] and files_below(own_cli.cwd) == before
    listed = json.loads(succeeded(own_cli("handles", "list", "--json")).stdout)["addresses"]
    assert sorted(each["address"] for each in listed) == sorted(each["address"] for each in first["addresses"])
    folder = own_cli.cwd / "cache" / hashlib.sha1(f"{TFHUB}/4".encode()).hexdigest()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    for each in listed:
        assert (each["installed"], each["bytes"]) == (True, size) and Path(each["folder"]).is_dir()
    assert f"nasexport  {size / 1e6:8,.1f} MB  {TFHUB}/4\n" in succeeded(own_cli("handles", "list")).stdout
    removed = succeeded(own_cli("handles", "remove", "--handle", "*kaggle*")).stdout.splitlines()
    assert len(removed) == EACH - 1 and f"{TFHUB}/4" not in removed
    assert succeeded(own_cli("handles", "remove")).stdout == f"{TFHUB}/4\n"
    assert files_below(own_cli.cwd / "cache") == []
    message = refusal(own_cli("handles", "remove", "--handle", "*/4"), 3)
    assert message == f"{own_cli.cwd / 'cache'} has nothing that matches */4: see `nasexport handles list`"


def test_what_others_put_there_is_left_until_told_otherwise(own_cli: Command, release: Path) -> None:
    """What tensorflow-hub downloaded has a text without our line; what else lies there has none."""
    cache = own_cli.cwd / "cache"
    theirs = cache / hashlib.sha1(f"{TFHUB}/4".encode()).hexdigest()
    theirs.mkdir(parents=True)
    (theirs / "saved_model.pb").write_bytes(b"as published")
    theirs.with_name(f"{theirs.name}.descriptor.txt").write_text(f"Module: {TFHUB}/4\nDownload Time: 2019\n")
    (cache / "other").mkdir()
    install = ("handles", "install", cache, "--release", release, "--handle", "*/classification/4")
    result = succeeded(own_cli(*install))
    assert result.stdout.splitlines() == [
        f"other      {NAME}/classification/4  1 address",
        f"installed  {NAME}/classification/4  {EACH - 1} addresses",
    ]
    assert f"warning: {TFHUB}/4 has something else there, which was left: --overwrite replaces it" in result.stderr
    assert f"other           0.0 MB  {TFHUB}/4\n" in succeeded(own_cli("handles", "list", cache)).stdout
    succeeded(own_cli("handles", "remove", cache))
    assert (theirs / "saved_model.pb").read_bytes() == b"as published"
    succeeded(own_cli(*install, "--overwrite"))
    assert (theirs / "saved_model.pb").stat().st_size > 1000 and (cache / "other").is_dir()


def test_another_artifact_of_the_same_handle_replaces_the_first(
    own_cli: Command, release: Path, tiny_artifacts: Path
) -> None:
    own_cli("handles", "install", "cache", "--release", release, "--handle", "*/classification/4")
    folder = own_cli.cwd / "cache" / hashlib.sha1(f"{TFHUB}/4".encode()).hexdigest()
    copy = shutil.copytree(
        artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 4), own_cli.cwd / NAME / "classification" / "4"
    )
    (copy / "variables" / "variables.index").write_bytes(b"other")
    # A folder that `build` wrote has artifacts, and no manifest.
    succeeded(own_cli("handles", "install", "cache", "--release", own_cli.cwd))
    assert (folder / "variables" / "variables.index").read_bytes() == b"other"
    assert not [name for name in files_below(own_cli.cwd / "cache") if name.startswith(".")]


def test_a_release_on_a_server_is_installed(own_cli: Command, release: Path) -> None:
    own_cli("handles", "install", "expected", "--release", release)
    with serving(own_cli, release) as served:
        result = succeeded(own_cli("handles", "install", "cache", "--release", f"{served.url}/"))
        assert result.stdout.count("installed  ") == result.stdout.count(f"  {EACH} addresses\n") == 4
        own_cli("handles", "install", "cache", "--release", served.url)
        assert sum("tar.gz" in line for line in served.log) == 4, "what is kept is not sent again"
    expected = files_below(own_cli.cwd / "expected")
    assert files_below(own_cli.cwd / "cache") == expected
    for name in expected:
        if (own_cli.cwd / "cache" / name).is_file() and not name.endswith(".txt"):
            assert (own_cli.cwd / "cache" / name).read_bytes() == (own_cli.cwd / "expected" / name).read_bytes(), name


def test_what_does_not_have_the_hash_of_the_manifest_is_not_installed(
    own_cli: Command, release: Path, tmp_path: Path
) -> None:
    damaged = shutil.copytree(release, tmp_path / "damaged")
    for path in (damaged / NAME / "classification/4/saved_model.pb", damaged / NAME / "classification/5.tar.gz"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    install = ("handles", "install", "cache", "--handle", "*/classification/4", "--release")
    message = refusal(own_cli(*install, damaged), 1)
    assert message.startswith(f"{NAME}/classification/4/saved_model.pb of {damaged} has sha256 ")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(damaged))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        message = refusal(own_cli("handles", "install", "cache", "--handle", "*/classification/5", "--release", url), 1)
        server.shutdown()
    assert message.startswith(f"{NAME}/classification/5.tar.gz of {url} has sha256 ")
    assert files_below(own_cli.cwd / "cache") == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("4/../../../../../../outside", "manifest.json is damaged: artifacts[0].files[0].path is "),
        (
            "5/saved_model.pb",
            f" is damaged: {NAME}/classification/4 has a file '{NAME}/classification/5/saved_model.pb'",
        ),
    ],
)
def test_a_manifest_that_leads_out_of_an_artifact_is_refused(
    own_cli: Command, release: Path, tmp_path: Path, path: str, said: str
) -> None:
    hostile = tmp_path / "hostile"
    record = add_artifact(hostile, release / NAME / "classification/4")
    finish(hostile, [record])
    file = msgspec.structs.replace(record.files[0], path=f"{NAME}/classification/{path}")
    replace_manifest(hostile, [msgspec.structs.replace(record, files=(file, *record.files[1:]))])
    message = refusal(own_cli("handles", "install", "cache", "--release", hostile), 1)
    assert message.startswith(str(hostile)) and said in message
    assert files_below(own_cli.cwd) == []


def test_what_cannot_be_is_refused_in_a_line(own_cli: Command, release: Path, tmp_path: Path) -> None:
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()
    install = ("handles", "install", "cache", "--release")
    assert refusal(own_cli(*install, nowhere), 3).startswith(f"{nowhere} has no manifest.json")
    assert refusal(own_cli(*install, empty), 3).startswith(f"{empty} has neither a manifest.json nor artifacts")
    message = refusal(own_cli(*install, release, "--handle", "*onnx*"), 3)
    assert message.startswith(f"there is nothing that matches *onnx*: it has {NAME}/classification/")
    address = "http://127.0.0.1:1"
    assert refusal(own_cli(*install, address), 3).startswith(f"{address}/manifest.json cannot be downloaded (")
    message = refusal(own_cli(*install, "http://user:secret@127.0.0.1:1", "--offline"), 3)
    assert message == f"{address} was not asked: --offline allows no network"
    with serving(own_cli, release) as served:
        message = refusal(own_cli(*install, f"{served.url}/google"), 3)
        assert message == f"{served.url}/google/manifest.json answers 404 Not Found: expected the address of a release"
    (own_cli.cwd / "file").write_text("")
    message = refusal(own_cli("handles", "install", "file", "--release", release), 3)
    assert message.startswith("cannot write in file: ")
    assert refusal(own_cli("handles", "list", "file"), 3) == "cannot read file: Not a directory"
    result = own_cli("handles", "install")
    assert result.returncode == 2 and "Missing argument 'DIR'" in result.stderr


def test_what_a_text_says_does_no_harm_to_a_terminal(own_cli: Command) -> None:
    cache = own_cli.cwd / "cache"
    address = "https://x/\x1b[31m\u202e"
    folder = cache / hashlib.sha1(address.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "file").touch()
    folder.with_name(f"{folder.name}.descriptor.txt").write_text(f"Module: {address}\n")
    (cache / ("0" * 40 + ".descriptor.txt")).write_bytes(b"\xff" * 100_000)
    (cache / ("1" * 40 + ".descriptor.txt")).mkdir()
    assert succeeded(own_cli("handles", "list", cache)).stdout.isascii()


@pytest.mark.stops
@pytest.mark.parametrize("action", one_in_make_test([file_operations.KILL, "ENOSPC"]))
def test_one_that_is_cut_off_at_any_moment_is_repeated(own_cli: Command, release: Path, action: str) -> None:
    cache = own_cli.cwd / "cache"
    args = ("handles", "install", "cache", "--release", release, "--handle", "*/classification/4", "--overwrite")
    moments = file_operations.count(own_cli, cache, *args)
    whole = files_below(cache)
    for number in range(1, moments, max(1, moments // 12)):
        result = file_operations.run(own_cli, action, number, cache, *args)
        if action == file_operations.KILL:
            assert result.returncode in (-signal.SIGKILL, 0)
        elif result.returncode:
            assert "fault of nasexport" not in refusal(result, 3)
        for folder in cache.iterdir():
            if len(folder.name) == 40:  # what tensorflow-hub would load
                assert (folder / "saved_model.pb").is_file() and (folder / "variables/variables.index").is_file()
        succeeded(own_cli(*args))
        assert files_below(cache) == whole
