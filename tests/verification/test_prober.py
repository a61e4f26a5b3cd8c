"""What probes found lies there as long as somebody needs it, and no longer."""

from pathlib import Path
from typing import Any, cast

import pytest

from exporter.artifact.options import ArtifactOptions
from exporter.files.removal import Remover
from exporter.models.config import model
from exporter.models.formats import FORMATS
from exporter.probe.jobs import ProbeRequest, ProbeSummary
from exporter.processes.job import Job
from exporter.processes.runner import Runner
from exporter.progress import Say
from exporter.verification.prober import Probed, Prober
from exporter.verification.results import Expected

CONFIG = model("nasnet_mobile")


class _Running:
    """Instead of probes: each writes a file, and says of which earlier ones it was told."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.previous: list[int] = []

    def run(self, job: Job[Any, Any, Any], request: ProbeRequest, say: Say) -> ProbeSummary:
        self.previous.append(len(request.previous))
        request.output.mkdir()
        (request.output / "array.npy").write_bytes(b"x")
        return ProbeSummary((), "a network")


@pytest.fixture
def running(tmp_path: Path) -> _Running:
    (tmp_path / "found").mkdir()
    return _Running(tmp_path / "found")


def _artifact(folder: Path, content: str) -> Path:
    path = folder / content
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text(content, encoding="utf-8")
    return path


def _expected(version: int) -> Expected:
    return Expected(CONFIG, "classification", version, ArtifactOptions(None))


def _probed(running: _Running, remover: Remover, tmp_path: Path) -> tuple[Prober, list[Probed]]:
    """Two versions of one format, one after the other, and the first of another format."""
    prober = Prober(cast(Runner, running), remover)
    versions = (4, 5, 3)
    return prober, [
        prober.probe(_artifact(tmp_path, f"version {number}"), _expected(number), print) for number in versions
    ]


def test_an_artifact_is_told_of_those_of_its_format(running: _Running, tmp_path: Path) -> None:
    with Remover() as remover:
        _probed(running, remover, tmp_path)
    assert running.previous == [0, 1, 0]


def test_results_stay_until_they_are_judged_and_nothing_follows(running: _Running, tmp_path: Path) -> None:
    with Remover() as remover:
        prober, found = _probed(running, remover, tmp_path)
        for probed in found:
            prober.judged(probed)
    assert all(probed.output.is_dir() for probed in found)  # another version may follow
    with Remover() as remover:
        prober, found = _probed(running, remover, tmp_path / "again")
        prober.judged(found[0])
        prober.forget(FORMATS["saved_model_2"])
    assert [probed.output.is_dir() for probed in found] == [False, True, True]
    with Remover() as remover:
        prober, found = _probed(running, remover, tmp_path / "once more")
        prober.forget(FORMATS["saved_model_2"])
        for probed in found:
            prober.judged(probed)
    assert [probed.output.is_dir() for probed in found] == [False, False, True]


def test_a_folder_is_emptied_and_stays(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with Remover() as remover:
        remover.empty(tmp_path)
    assert tmp_path.is_dir() and not list(tmp_path.iterdir())
