"""``release publish`` to the Hugging Face Hub: the real huggingface_hub asks a small stand-in for it."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.publishing.conftest import publish, published, restore_empty_folders, size_of, states
from tests.publishing.test_folder import KILLS
from tests.support.command import Command, Result, refusal, succeeded
from tests.support.model_hub import TOKEN, Hub, Stored
from tests.support.small_release import SMALL, hashes

NAME = "me/models"
#: What the hub has beside the release.
OF_THE_HUB = {".gitattributes", "README.md"}


@pytest.fixture
def hub_cli(own_cli: Command, hub: Hub) -> Command:
    """The command, with a token for the hub on this machine."""
    return own_cli.with_variables(**hub.variables)


def _there(hub: Hub, name: str = NAME, revision: str = "main") -> dict[str, str]:
    """The sha256 of each file of a release in a repository."""
    files = hub.repositories[name].files(revision)
    assert files is not None
    return {path: file.sha256 for path, file in sorted(files.items()) if path not in OF_THE_HUB}


def test_a_release_is_one_commit_and_what_is_there_is_not_sent_again(
    hub_cli: Command, hub: Hub, released_of_one: Path, tmp_path: Path
) -> None:
    said = refusal(publish(hub_cli, released_of_one, f"hf://{NAME}"), 3)
    assert "there is no repository me/models" in said and "--create private" in said
    created = ("--create", "private", "--tag", "v1")
    [plan] = published(hub_cli, released_of_one, f"hf://{NAME}", *created, "--plan")
    assert plan["steps"] == ["make the private repository me/models", "tag it v1"]
    assert NAME not in hub.repositories

    succeeded(publish(hub_cli, released_of_one, f"hf://{NAME}", *created))
    repository = hub.repositories[NAME]
    assert repository.private and len(repository.commits) == 2
    assert _there(hub) == hashes(released_of_one)
    assert repository.tags == {"v1": repository.head}

    hub.asked.clear()
    text = succeeded(publish(hub_cli, released_of_one, f"hf://{NAME}", "--tag", "v1", "--plan")).stdout
    assert "nothing to do" in text
    [done] = published(hub_cli, released_of_one, f"hf://{NAME}", "--tag", "v1")
    assert states(done) == {"same": size_of(released_of_one) + 1}
    assert len(repository.commits) == 2
    assert not [line for line in hub.asked if line.startswith(("POST", "PUT"))]
    _require_snapshot_is_a_release(hub_cli, hub, tmp_path)


def _require_snapshot_is_a_release(cli: Command, hub: Hub, tmp_path: Path) -> None:
    """What others download is a release."""
    program = (
        "import sys; from huggingface_hub import snapshot_download; "
        f"snapshot_download({NAME!r}, local_dir=sys.argv[1], revision='v1', ignore_patterns={sorted(OF_THE_HUB)!r})"
    )
    folder = tmp_path / "snapshot"
    subprocess.run([sys.executable, "-c", program, folder], env={**cli.env, "HF_HUB_CACHE": str(tmp_path)}, check=True)
    (folder / ".cache").rename(tmp_path / "of the client")
    restore_empty_folders(folder)
    succeeded(cli("release", "verify", folder, "--files-only"))


@pytest.mark.long
def test_what_has_changed_is_sent_and_what_is_named_removed(
    hub_cli: Command, hub: Hub, released: tuple[Path, Result], released_of_one: Path
) -> None:
    hub.add(NAME)
    succeeded(publish(hub_cli, released[0], f"hf://{NAME}", "--tag", "both"))
    gone = sorted(path.removesuffix(".tar.gz") for path in _there(hub) if path.endswith(".tar.gz"))
    gone = [handle for handle in gone if not (released_of_one / f"{handle}.tar.gz").exists()]
    said = refusal(publish(hub_cli, released_of_one, f"hf://{NAME}", "--tag", "both"), 3)
    assert "tags are never moved" in said
    sent_before = len(hub.large)
    options = [option for handle in gone for option in ("--remove", handle)]
    [done] = published(hub_cli, released_of_one, f"hf://{NAME}", "--tag", "one", *options)
    assert states(done)["removed"] > 0 and "new" not in states(done)
    assert _there(hub) == hashes(released_of_one)
    assert _there(hub, revision="both") == hashes(released[0]), "what was tagged is there as it was"
    assert len(hub.large) == sent_before
    succeeded(publish(hub_cli, released_of_one, f"hf://{NAME}", "--read-back"))


def test_each_model_in_a_repository_of_its_own(
    hub_cli: Command, hub: Hub, released: tuple[Path, Result], tmp_path: Path
) -> None:
    done = published(hub_cli, released[0], "hf://me/{model}", "--create", "public")
    assert [target["target"] for target in done] == [f"hf://me/{name}" for name in SMALL]
    for name in SMALL:
        repository = hub.repositories[f"me/{name}"]
        assert not repository.private
        files = repository.files()
        assert files is not None
        folder = tmp_path / name
        for path, file in files.items():
            if path not in OF_THE_HUB:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(file.content)
        restore_empty_folders(folder)
        succeeded(hub_cli("release", "verify", folder, "--files-only"))
        _require_card(files["README.md"].content.decode(), name, folder)
    _require_program_runs(hub_cli, hub.repositories[f"me/{name}"].files() or {}, tmp_path)


def _require_card(text: str, name: str, folder: Path) -> None:
    """The page of a repository: metadata that the hub reads, links that lead somewhere, a true warning."""
    _, head, body = text.split("---\n", 2)
    metadata: dict[str, Any] = yaml.safe_load(head)
    assert metadata["license"] == "apache-2.0"
    assert metadata["library_name"] == "tensorflow"
    assert metadata["pipeline_tag"] == "image-classification"
    assert "datasets" not in metadata, "made-up weights were trained on nothing"
    assert "SYNTHETIC WEIGHTS" in body
    links = [part.partition(")")[0] for part in body.split("](")[1:]]
    assert links and all((folder / link).is_file() for link in links)
    assert f'snapshot_download("me/{name}"' in body


def _require_program_runs(cli: Command, files: dict[str, Stored], tmp_path: Path) -> None:
    """The program on the page of a repository gives the folder of an artifact."""
    [_, code] = files["README.md"].content.decode().split("```python\n")
    program = code.partition("```")[0] + "import os; print(sorted(os.listdir(folder)))"
    env = {**cli.env, "HF_HUB_CACHE": str(tmp_path / "cache")}
    result = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert "'saved_model.pb'" in result.stdout or "'tfhub_module.pb'" in result.stdout


@pytest.mark.stops
def test_a_connection_that_is_cut_at_a_random_moment(
    hub_cli: Command, hub: Hub, released_of_one: Path, tmp_path: Path
) -> None:
    hub_cli = hub_cli.with_short_waits(tmp_path)
    repository = hub.add(NAME)
    left = random.randrange(4, 20)

    def cut(request: Any) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            request.rfile.read(min(1000, int(request.headers.get("Content-Length") or 0)))
            return True
        return False

    hub.before = cut
    result = publish(hub_cli, released_of_one, f"hf://{NAME}")
    said = refusal(result, 3)
    assert f"hf://{NAME}" in said and "connection broke off" in said
    _require_no_secret(result)
    # A commit whose answer was lost is there as a whole.
    assert len(repository.commits) == 1 or _there(hub) == hashes(released_of_one)
    hub.before = lambda request: False
    hub.asked.clear()
    large = len(hub.large)
    succeeded(publish(hub_cli, released_of_one, f"hf://{NAME}"))
    assert _there(hub) == hashes(released_of_one)
    sent = sum(line.startswith("PUT /large/") for line in hub.asked)
    assert sent == len(hub.large) - large, "what had arrived was not sent again"
    assert len(repository.commits) == 2


@pytest.mark.stops
def test_a_kill_at_any_moment_leaves_the_old_state_or_the_new_one(
    hub_cli: Command, hub: Hub, released_of_one: Path
) -> None:
    for _ in range(KILLS // 2):
        hub.repositories.clear()
        hub.large.clear()
        repository = hub.add(NAME)
        left = random.randrange(2, 25)
        process = hub_cli.begun("release", "publish", released_of_one, f"hf://{NAME}", "--tag", "v1")

        def kill(request: Any, process: Any = process) -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                process.send_signal(signal.SIGKILL)
                time.sleep(0.05)
            return False

        hub.before = kill
        process.communicate()
        hub.before = lambda request: False
        assert len(repository.commits) == 1 or _there(hub) == hashes(released_of_one)
        succeeded(publish(hub_cli, released_of_one, f"hf://{NAME}", "--tag", "v1"))
        assert _there(hub) == hashes(released_of_one)
        assert len(repository.commits) == 2 and repository.tags == {"v1": repository.head}


def test_a_hub_that_has_other_bytes_than_were_sent_is_told(hub_cli: Command, hub: Hub, released_of_one: Path) -> None:
    repository = hub.add(NAME)
    commit = repository.commit

    def damaging(files: Any) -> str:
        files["index.html"].content = files["index.html"].content[:-1] + b"?"
        return commit(files)

    repository.commit = damaging  # type: ignore[method-assign]
    said = refusal(publish(hub_cli, released_of_one, f"hf://{NAME}"), 1)
    assert "another index.html after it was sent" in said


def test_others_who_publish_meanwhile_are_not_overwritten(hub_cli: Command, hub: Hub, released_of_one: Path) -> None:
    repository = hub.add(NAME)

    def meanwhile(request: Any) -> bool:
        if "/commit/" in request.path and len(repository.commits) == 1:
            repository.commit(dict(repository.files() or {}))
            # The stand-in names commits by their files and number: this is another one.
        return False

    hub.before = meanwhile
    said = refusal(publish(hub_cli, released_of_one, f"hf://{NAME}"), 3)
    assert "A commit has happened since" in said
    hub.before = lambda request: False
    succeeded(publish(hub_cli, released_of_one, f"hf://{NAME}"))
    assert _there(hub) == hashes(released_of_one)


@pytest.mark.parametrize("debug", [False, True])
def test_wrong_credentials_are_told_without_them(
    hub_cli: Command, hub: Hub, released_of_one: Path, debug: bool
) -> None:
    hub.add(NAME)
    wrong = hub_cli.with_variables(HF_TOKEN=f"{TOKEN[:-1]}X")
    result = wrong(*(["--debug"] if debug else []), "release", "publish", released_of_one, f"hf://{NAME}")
    assert result.returncode == 3
    assert TOKEN[:-1] not in result.stderr + result.stdout
    if not debug:
        assert "access is refused" in refusal(result, 3)
    none = hub_cli.with_variables(HF_TOKEN="")
    assert "needs a token: set HF_TOKEN" in refusal(publish(none, released_of_one, f"hf://{NAME}"), 3)


def test_a_signed_address_is_not_shown(hub_cli: Command, hub: Hub, released_of_one: Path) -> None:
    hub.add(NAME)

    def refuse(request: Any) -> bool:
        if request.path.startswith("/large/"):
            request.rfile.read(int(request.headers["Content-Length"]))
            request._json({"error": "no room"}, 403)
            return True
        return False

    hub.before = refuse
    result = publish(hub_cli, released_of_one, f"hf://{NAME}")
    refusal(result, 3)
    _require_no_secret(result)


def _require_no_secret(result: Result) -> None:
    text = result.stdout + result.stderr
    assert TOKEN not in text and "s3cr3t" not in text and "X-Amz" not in text


def test_what_is_no_repository_is_wrong_usage(cli: Command, released_of_one: Path) -> None:
    for address in ("hf://models", "hf://a/b/c", "hf://", "kaggle://models"):
        assert "expected" in refusal(publish(cli, released_of_one, address), 2)
    said = refusal(publish(cli, released_of_one, "/srv/models", "--tag", "v1"), 2)
    assert "--tag is for hf://" in said


def test_the_plan_as_json_has_every_file(hub_cli: Command, hub: Hub, released_of_one: Path) -> None:
    hub.add(NAME)
    found = json.loads(succeeded(publish(hub_cli, released_of_one, f"hf://{NAME}", "--plan", "--json")).stdout)
    assert found["published"] is False
    assert {file["path"] for file in found["targets"][0]["files"]} == {*hashes(released_of_one), "README.md"}
