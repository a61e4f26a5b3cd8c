"""What pages have of the release that they are in: its address, and the other artifacts of their model."""

import json
import shutil
from pathlib import Path

import pytest

from exporter.release import address
from exporter.release.manifest import MANIFEST_FILE, Place, read_manifest
from tests.support.command import Command, Result, refusal, succeeded
from tests.support.forgery import edited, leave, rederive
from tests.support.html_pages import Reader
from tests.support.small_release import HANDLES, hashes

URL = "https://models.example.org/nasnet"


@pytest.fixture(scope="module")
def addressed(
    cli: Command, inputs: list[object], released: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """The release with an address, and the states of its artifacts when it was given that."""
    release = shutil.copytree(released[0], tmp_path_factory.mktemp("addressed") / "release")
    result = succeeded(cli("release", *inputs, "--output", release, "--base-url", f"{URL}/", "--json"))
    return release, [row["state"] for row in json.loads(result.stdout)["artifacts"]]


def _pages(release: Path) -> list[Path]:
    return [release / path for handle in HANDLES for path in (Place(handle).page, Place(handle).page_html)]


def test_a_release_is_given_an_address_and_no_artifact_is_made_again(
    addressed: tuple[Path, list[str]], released: tuple[Path, Result], cli: Command
) -> None:
    release, states = addressed
    assert set(states) == {"kept"} and len(states) == len(HANDLES)
    before, after = hashes(released[0]), hashes(release)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {
        *(path for handle in HANDLES for path in (Place(handle).page, Place(handle).page_html, Place(handle).record)),
        *("index.html", "manifest.json", "provenance.json", "SHA256SUMS"),
    }
    succeeded(cli("release", "verify", release, "--files-only"))
    for path in (*_pages(release), release / "index.html"):
        text = path.read_text(encoding="utf-8")
        assert URL in text and address.DEFAULT not in text, path
    for handle in HANDLES:
        # Any web server has the archive at its own address.
        text = (release / Place(handle).page).read_text(encoding="utf-8")
        assert f'HUB = "{URL}"' in text and f'ADDRESS = HUB + "/{handle}.tar.gz"' in text
        assert "must end in" not in text


def test_without_the_option_it_has_none_again(
    own_cli: Command,
    inputs: list[object],
    addressed: tuple[Path, list[str]],
    released: tuple[Path, Result],
    tmp_path: Path,
) -> None:
    release = shutil.copytree(addressed[0], tmp_path / "release")
    succeeded(own_cli("release", *inputs, "--output", release))
    assert hashes(release) == hashes(released[0])


def test_pages_link_what_the_release_has(released: tuple[Path, Result], parts: list[Path]) -> None:
    for release in (released[0], *parts):
        handles = set(read_manifest(release))
        for handle in handles:
            path = release / Place(handle).page_html
            links = [own["href"].partition("#")[0] for own in Reader(path.read_text(encoding="utf-8")).having("a")]
            local = {(path.parent / link).resolve() for link in links if ":" not in link}
            assert all(target.is_file() for target in local)
            model = handle.rsplit("/", 2)[0]
            own = {(release / Place(other).page_html).resolve() for other in handles if other.startswith(f"{model}/")}
            assert own - {path.resolve()} <= local


def test_parts_with_other_addresses_are_not_joined(
    own_cli: Command, addressed: tuple[Path, list[str]], parts: list[Path], tmp_path: Path
) -> None:
    message = refusal(own_cli("release", "merge", addressed[0], parts[0], "--output", tmp_path / "whole"))
    assert f"have the address {URL}" in message and "make the parts with the same --base-url" in message
    assert not (tmp_path / "whole" / MANIFEST_FILE).exists()
    joined = succeeded(own_cli("release", "merge", addressed[0], "--output", tmp_path / "joined"))
    assert joined.stdout and hashes(tmp_path / "joined") == hashes(addressed[0])


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("base_url", "https://elsewhere.example", "4: its pages have the address"),
        ("artifacts", [], "4: its pages link none, expected classification/5, feature_vector/4"),
        ("artifacts", ["feature_vector/9"], "4: its pages link feature_vector/9, expected classification/5"),
    ],
)
def test_pages_that_link_what_is_not_there_are_seen(
    own_cli: Command, copied: Path, field: str, value: object, said: str
) -> None:
    """Though all that follows from the record is as it should be."""
    place = Place(HANDLES[1 if field == "base_url" else 0])
    with edited(copied / place.record) as record:
        record["page_links"][field] = value
    rederive(copied, place.handle)
    result = own_cli("release", "verify", copied, "--files-only")
    assert result.returncode == 1
    assert said.replace("4:", f"{place.handle}:") in result.stdout


def test_the_pages_of_another_nasexport_stay(copied: Path) -> None:
    """Only that one can say what they are."""
    one, two = HANDLES[:2]
    with edited(copied / Place(one).record) as record:
        record["inputs"]["code"] = "0" * 64
    rederive(copied, one)
    before = (copied / Place(one).page).read_bytes()
    leave(copied, {one, two})
    assert (copied / Place(one).page).read_bytes() == before
    found = read_manifest(copied)
    assert found[two].page_links.artifacts == ("/".join(one.split("/")[-2:]),)
    assert len(found[one].page_links.artifacts) == 3
