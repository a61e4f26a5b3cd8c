"""`nasexport serve` in the place of Kaggle: what kagglehub asks is answered, and its addresses load."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import requests
from hypothesis import strategies

from exporter.hosting import kaggle
from exporter.hosting.routes import ListedFile, Listing, Reply, listing
from exporter.release.manifest import read_manifest
from tests.support import environments, programs
from tests.support.addresses import COMPRESSED, HANDLE, PIECES
from tests.support.command import Command, artifact_folder
from tests.support.releases import write_release
from tests.support.servers import Served, serving

#: What Kaggle calls the release's artifacts of version 4 and 5.
NAME = "google/tiny/TensorFlow2/nasnet-feature-vector"
METHODS = "api/v1/models.ModelApiService"
CALL = {
    "ownerSlug": "google",
    "modelSlug": "tiny",
    "framework": "MODEL_FRAMEWORK_TENSOR_FLOW_2",
    "instanceSlug": "nasnet-feature-vector",
}


def _asked(served: Served, address: str, call: Any = None) -> requests.Response:
    url = f"{served.url}/{address}"
    if call is None:
        return requests.get(url, allow_redirects=False, timeout=30)
    content = {"data": call} if isinstance(call, bytes) else {"json": call}
    return requests.post(url, allow_redirects=False, timeout=30, **content)


def test_questions_by_get_are_answered(served: Served, release: Path) -> None:
    newest = _asked(served, f"api/v1/models/{NAME}/get")
    assert newest.json() == {"slug": "nasnet-feature-vector", "framework": "TensorFlow2", "versionNumber": 2}
    assert newest.headers["Content-Type"] == "application/json"
    files = _asked(served, f"api/v1/models/{NAME.replace('TensorFlow', 'tensorFlow')}/1/files?page_size=25").json()
    assert files["nextPageToken"] == ""
    found = {each["name"]: each["size"] for each in files["files"]}
    assert found == {
        path.relative_to(release / HANDLE).as_posix(): path.stat().st_size
        for path in (release / HANDLE).rglob("*")
        if path.is_file()
    }
    for path, file in {
        "": f"{HANDLE}.tar.gz",
        "/variables/variables.index": f"{HANDLE}/variables/variables.index",
    }.items():
        answer = requests.get(f"{served.url}/api/v1/models/{NAME}/1/download{path}", timeout=30)
        assert [each.status_code for each in answer.history] == [302]
        assert answer.url == f"{served.url}/{file}" and answer.content == (release / file).read_bytes()


def test_questions_by_post_are_answered(served: Served, release: Path) -> None:
    newest = _asked(served, f"{METHODS}/GetModelInstance", CALL).json()
    assert (newest["versionNumber"], newest["framework"]) == (2, "MODEL_FRAMEWORK_TENSOR_FLOW_2")
    versioned = {**CALL, "versionNumber": 1, "pageSize": 25}
    files = _asked(served, f"{METHODS}/ListModelInstanceVersionFiles", versioned).json()["files"]
    assert "variables/variables.index" in [each["name"] for each in files]
    url = f"{served.url}/{METHODS}/DownloadModelInstanceVersion"
    answer = requests.post(url, json={**versioned, "path": "saved_model.pb"}, timeout=30)
    assert answer.url == f"{served.url}/{HANDLE}/saved_model.pb"
    assert answer.content == (release / HANDLE / "saved_model.pb").read_bytes()


@pytest.mark.parametrize(
    ("address", "call", "status", "message"),
    [
        (f"api/v1/models/{NAME}/7/files", None, 404, f"this release has no {NAME}/7; it has {NAME}/1, {NAME}/2"),
        ("api/v1/models/google/none/TensorFlow2/x/get", None, 404, "this release has no google/none/TensorFlow2/x; "),
        (f"api/v1/models/{NAME}/1/download/../../secret", None, 404, f"{NAME}/1 has no file of that name"),
        (f"api/v1/models/{NAME}/1/download/variables", None, 404, f"{NAME}/1 has no file of that name"),
        (f"api/v1/models/{NAME}/{'9' * 5000}/files", None, 404, "this server answers what kagglehub asks to "),
        ("api/v1/datasets/view/a/b", None, None, ""),
        (f"{METHODS}/GetModelInstance", b"no JSON", 400, "this is no question of kagglehub's: "),
        (f"{METHODS}/GetModelInstance", {**CALL, "ownerSlug": 1}, 400, "this is no question of kagglehub's: "),
        (f"{METHODS}/GetModelInstance", b"", 400, "this is no question of kagglehub's: "),
        (f"{METHODS}/CreateModel", CALL, 404, "this server answers GetModelInstance, ListModelInstanceVersionFiles, "),
        (
            f"{METHODS}/DownloadModelInstanceVersion",
            {**CALL, "versionNumber": 3},
            404,
            "this release has no google/tiny/",
        ),
        (
            f"{METHODS}/DownloadModelInstanceVersion",
            {**CALL, "versionNumber": 1, "path": "../5.tar.gz"},
            404,
            "google/tiny/MODEL_FRAMEWORK_TENSOR_FLOW_2/nasnet-feature-vector/1 has no file of that name",
        ),
    ],
)
def test_what_there_is_not_is_said_as_kagglehub_reads_it(
    served: Served, address: str, call: Any, status: int | None, message: str
) -> None:
    if call is None:  # the path as it is, which requests would shorten
        head, _, body = served.raw(f"GET /{address} HTTP/1.0\r\n\r\n".encode()).partition(b"\r\n\r\n")
        found, content = int(head.split()[1]), body
    else:
        answer = _asked(served, address, call)
        found, content = answer.status_code, answer.content
    if status is None:
        assert found == 404 and b"This release has:" in content
        return
    said = json.loads(content)
    assert (found, said["code"]) == (status, status) and said["message"].startswith(message)


def test_other_posts_are_refused_as_ever(served: Served) -> None:
    for address in (f"api/v1/models/{NAME}/get", HANDLE, "", "api/v1/models.ModelApiService", "api/v1/a/b"):
        assert _asked(served, address, CALL).status_code == 405
    # What does not say how long it is, is not read.
    answer = served.raw(
        f"POST /{METHODS}/GetModelInstance HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_addresses_of_models_load_and_lead_to_their_pages(served: Served, release: Path) -> None:
    long = "models/google/tiny/frameworks/TensorFlow2/variations/nasnet-feature-vector/versions/1"
    for address in (f"models/{NAME}/1", long):
        packed = requests.get(f"{served.url}/{address}", params=COMPRESSED, timeout=30)
        assert packed.content == (release / f"{HANDLE}.tar.gz").read_bytes() and not packed.history
        assert requests.get(f"{served.url}/{address}", timeout=30).url == f"{served.url}/{HANDLE}"
    for address in (f"models/{NAME}/9", f"models/{NAME}", "models", f"models/{NAME}/x"):
        assert _asked(served, address).status_code == 404


@pytest.fixture(scope="module")
def release_listing(release: Path) -> Listing:
    return listing(read_manifest(release).values())


_PARTS = strategies.sampled_from(
    [
        *("api", "v1", "models", "models.ModelApiService", *NAME.split("/"), "1"),
        *("get", "files", "download", "GetModelInstance"),
    ]
)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(strategies.lists(_PARTS | PIECES).map("/".join), strategies.none() | strategies.binary(max_size=50))
def test_any_question_gets_a_listed_file_or_a_short_text(
    release_listing: Listing, target: str, call: bytes | None
) -> None:
    answer = kaggle.answer(release_listing, f"/{target}", call)
    if isinstance(answer, ListedFile):
        assert answer in release_listing.files.values()
    elif isinstance(answer, Reply):
        assert answer.status in (200, 302, 400, 404) and answer.text.isascii()
        location = answer.headers.get("Location", "")
        assert not location or location.replace("../", "") in {*release_listing.files, *release_listing.records}


# With the real kagglehub


@pytest.fixture(scope="module")
def loadable(
    cli: Command, tiny_artifacts: Path, hub_modules: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of artifacts that can be loaded."""
    artifacts = [
        artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 4),
        artifact_folder(tiny_artifacts, "tiny_nasnet", "classification", 5),
        artifact_folder(hub_modules, "tiny_nasnet", "classification", 3),
    ]
    release = write_release(tmp_path_factory.mktemp("kaggle") / "release", artifacts)
    with serving(cli, release) as served:
        yield served


#: `hub.load` of Kaggle's addresses by kagglehub, as docs/hosting.md shows it; tensorflow-hub alone asks their server.
_LOAD = """
import json, os, sys
import numpy as np
sys.path[:] = [sys.argv[1], *sys.path, sys.argv[2]]
import kagglehub
if hasattr(kagglehub, "config") and not hasattr(kagglehub.config, "get_kaggle_api_endpoint"):
    from kagglesdk import kaggle_env  # it knows some ports of this machine, and takes no address
    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.LOCAL] = os.environ["KAGGLE_API_ENDPOINT"]
import tensorflow as tf, tensorflow_hub as hub
from tensorflow_hub import registry, resolver

PREFIX = "https://www.kaggle.com/models/"


class ByKagglehub(resolver.Resolver):
    def is_supported(self, handle):
        return handle.startswith(PREFIX)

    def __call__(self, handle):
        return kagglehub.model_download(handle.removeprefix(PREFIX))


registry.resolver.add_implementation(ByKagglehub())
images = tf.constant(np.random.default_rng(0).random((2, 64, 64, 3), np.float32))
outputs = []
for handle in sys.argv[3:]:
    loaded = hub.load(handle)
    outputs.append(loaded(images) if callable(loaded) else loaded.signatures["default"](images)["default"])
downloaded = kagglehub.model_download("google/tiny/tensorFlow2/nasnet-classification/1", "saved_model.pb")
try:
    kagglehub.model_download("google/tiny/tensorFlow2/nasnet-classification/8")
except Exception as error:
    refused = str(error)
print(json.dumps({
    "version": kagglehub.__version__, "outputs": [output.numpy().tolist() for output in outputs],
    "file": os.path.getsize(downloaded), "refused": refused,
}))
"""


@pytest.mark.readers
@pytest.mark.parametrize(
    ("interpreter", "version"), [(environments.last_with_endpoint, "0.3.13"), (environments.stores, "1.0.3")]
)
def test_kagglehub_loads_old_addresses_from_the_server(
    own_cli: Command, loadable: Served, tiny_artifacts: Path, hub_modules: Path, interpreter: Any, version: str
) -> None:
    python: Path = interpreter()
    (packages,) = (python.parents[1] / "lib").glob("python3.*/site-packages")
    if packages.parent.name != f"python{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip(f"NOT TESTED: kagglehub is installed for {packages.parent.name}")
    kaggle_variables = {
        "KAGGLE_API_ENDPOINT": loadable.url,
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
        "KAGGLEHUB_CACHE": str(own_cli.cwd / "cache"),
        "HOME": str(own_cli.cwd),
    }
    addresses = {
        "https://www.kaggle.com/models/google/tiny/TensorFlow2/nasnet-classification/1": (tiny_artifacts, 4),
        "https://www.kaggle.com/models/google/tiny/TensorFlow2/nasnet-classification": (tiny_artifacts, 5),
        "https://www.kaggle.com/models/google/tiny/tensorFlow1/nasnet-classification/3": (hub_modules, 3),
    }
    folders = [
        artifact_folder(output, "tiny_nasnet", "classification", version) for output, version in addresses.values()
    ]
    # Before what is installed here, another kagglehub perhaps; what it needs comes after that.
    own = own_cli.cwd / "packages"
    own.mkdir()
    for package in packages.glob("kaggle*"):
        (own / package.name).symlink_to(package)
    command = own_cli.with_variables(**kaggle_variables)
    said = programs.said(programs.run_with_tensorflow(command, _LOAD, own, packages, *addresses, *folders))
    assert said["version"] == version
    for address, output, expected in zip(addresses, said["outputs"], said["outputs"][3:], strict=False):
        np.testing.assert_array_equal(output, expected, err_msg=address)
    assert said["file"] == (folders[0] / "saved_model.pb").stat().st_size
    # Later ones do not say what the server said.
    assert "404 Client Error" in said["refused"]
    assert ("this release has no google/tiny/" in said["refused"]) == (version == "0.3.13")
