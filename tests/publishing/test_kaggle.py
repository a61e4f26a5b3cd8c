"""``release publish`` to Kaggle: the real kagglehub asks a small stand-in for it, in an environment of its own."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.release.manifest import read_records
from tests.publishing.conftest import publish, published, states
from tests.support import environments
from tests.support.command import Command, refusal, succeeded
from tests.support.faulty_server import serving
from tests.support.kaggle_server import TOKEN, Kaggle

pytestmark = pytest.mark.readers
NAME = "me/nasnet"


@pytest.fixture
def kaggle() -> Iterator[Kaggle]:
    with serving(Kaggle()) as server:
        yield server


@pytest.fixture
def kaggle_cli(own_cli: Command, kaggle: Kaggle, tmp_path: Path) -> Command:
    """The command, with kagglehub, and a token for the server on this machine."""
    program = environments.beside(environments.stores()) + kaggle.program
    return own_cli.with_program_first(program, tmp_path).with_variables(KAGGLE_API_TOKEN=TOKEN, NO_PROXY="127.0.0.1")


def _require_there(kaggle: Kaggle, release: Path, versions: int = 1) -> None:
    """The newest version of each variation has the files of its artifact."""
    records = read_records(release)[1]
    assert len(kaggle.versions) == len(records)
    for record in records:
        name = f"{record.model}-{record.task}-{record.version}".replace("_", "-")
        there = kaggle.versions[f"{NAME}/TENSOR_FLOW_2/{name}"]
        assert len(there) == versions
        found = {path: hashlib.sha256(content).hexdigest() for path, content in there[-1].items()}
        assert found == {file.path.removeprefix(f"{record.handle}/"): file.sha256 for file in record.files}


def test_each_artifact_is_a_variation_and_is_sent_once(
    kaggle_cli: Command, kaggle: Kaggle, released_of_one: Path
) -> None:
    count = len(read_records(released_of_one)[1])
    [plan] = published(kaggle_cli, released_of_one, f"kaggle://{NAME}", "--plan")
    assert states(plan) == {"new": count} and not kaggle.models
    succeeded(publish(kaggle_cli, released_of_one, f"kaggle://{NAME}"))
    assert kaggle.models == {NAME}
    _require_there(kaggle, released_of_one)
    kaggle.calls.clear()
    assert states(published(kaggle_cli, released_of_one, f"kaggle://{NAME}", "--read-back")[0]) == {"same": count}
    assert not [call for call in kaggle.calls if call.startswith(("Create", "Start"))]
    # Other bytes are a new version; what an artifact says of itself does not show them.
    newest = next(iter(kaggle.versions.values()))[-1]
    newest["saved_model.pb"] = b"other"
    assert states(published(kaggle_cli, released_of_one, f"kaggle://{NAME}", "--plan")[0]) == {"same": count}
    [done] = published(kaggle_cli, released_of_one, f"kaggle://{NAME}", "--read-back")
    assert states(done) == {"same": count - 1, "changed": 1}
    assert sorted(len(versions) for versions in kaggle.versions.values()) == [*[1] * (count - 1), 2]


@pytest.mark.stops
def test_a_connection_that_is_cut_at_a_random_moment(
    kaggle_cli: Command, kaggle: Kaggle, released_of_one: Path
) -> None:
    # kagglehub tries a blob again for half a minute: the moment is one between blobs.
    kaggle.left = random.randrange(0, 5)
    said = refusal(publish(kaggle_cli, released_of_one, f"kaggle://{NAME}"), 3)
    assert f"kaggle://{NAME}" in said and "connection broke off" in said and TOKEN not in said
    kaggle.left = None
    succeeded(publish(kaggle_cli, released_of_one, f"kaggle://{NAME}"))
    _require_there(kaggle, released_of_one)


def test_wrong_credentials_are_told_without_them(kaggle_cli: Command, kaggle: Kaggle, released_of_one: Path) -> None:
    result = publish(kaggle_cli.with_variables(KAGGLE_API_TOKEN=f"{TOKEN}X"), released_of_one, f"kaggle://{NAME}")
    assert "access is refused" in refusal(result, 3) and TOKEN not in result.stderr
    none = publish(kaggle_cli.with_variables(KAGGLE_API_TOKEN=""), released_of_one, f"kaggle://{NAME}")
    assert "needs credentials: set KAGGLE_API_TOKEN" in refusal(none, 3)
