"""Runs artifacts one after the other, and keeps what they gave: an artifact that follows is spared some of the work."""

import tempfile
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from exporter.artifact import folder as artifact
from exporter.files.removal import Remover
from exporter.models.config import Task
from exporter.models.formats import FormatSpec, Version
from exporter.probe.jobs import PreviousProbe, ProbeRequest, ProbeSummary, probe_job
from exporter.processes.runner import Runner
from exporter.progress import Say
from exporter.verification.results import Expected


@dataclass(frozen=True)
class Probed:
    """What an artifact gave: the folder that its probe wrote, and a summary; ``content`` is the hash of its files."""

    content: str
    output: Path
    summary: ProbeSummary


class Prober:
    """Probes artifacts; keeps every probe that is still to be `judged`, and until `forget` the last of each version.

    Several threads may probe at the same time, though not artifacts of one task and version.
    """

    def __init__(self, runner: Runner, remover: Remover, trust: bool = False):
        """With ``trust``, artifacts may do more than compute."""
        self._runner, self._remover, self._trust = runner, remover, trust
        #: By format, task and version.
        self._kept: dict[tuple[str, Task, Version], Probed] = {}
        self._guard = threading.Lock()
        #: How many artifacts are to be judged by each folder of results.
        self._needed: Counter[Path] = Counter()

    def _previous(self, spec: FormatSpec, task: Task) -> list[Probed]:
        """The probes of artifacts that come before one of a format and task; others may be replaced meanwhile."""
        return [
            probed
            for (format_, of_task, _), probed in list(self._kept.items())
            if format_ == spec.name and (spec.shares_between_tasks or of_task == task)
        ]

    def probe(self, path: Path, expected: Expected, say: Say) -> Probed:
        """What the artifact in ``path`` gives; equal files, and equal networks, run once where they follow each other.

        Raises:
            ArtifactError: it could do more than compute, does not load, or does not run.
            WorkerError: its process came to a bad end.
        """
        spec = expected.config.format_spec(expected.version)
        content, previous = artifact.content(path), self._previous(spec, expected.task)
        if same := next((probed for probed in previous if probed.content == content), None):
            say("loading the artifact")
            say("not running the artifact: the same files ran before")
            with self._guard:
                self._needed[same.output] += 1
            return same
        output = Path(tempfile.mkdtemp(dir=self._runner.folder)) / "found"
        reusable = tuple(
            PreviousProbe(probed.output, probed.summary.network) for probed in previous if probed.summary.network
        )
        request = ProbeRequest(path, expected.config.image_size, output, reusable, self._trust)
        probed = Probed(content, output, self._runner.run(probe_job(spec), request, say))
        key = (spec.name, expected.task, expected.version)
        with self._guard:
            self._needed[output] += 1
            replaced = self._kept.pop(key, None)
            self._kept[key] = probed
        if replaced:
            self._tidy(replaced)
        return probed

    def judged(self, probed: Probed) -> None:
        """Told that an artifact's results are no longer needed for itself."""
        with self._guard:
            self._needed[probed.output] -= 1
        self._tidy(probed)

    def forget(self, spec: FormatSpec) -> None:
        """Told that no artifact of a format is still to be probed."""
        with self._guard:
            gone = [self._kept.pop(key) for key in list(self._kept) if key[0] == spec.name]
        for probed in gone:
            self._tidy(probed)

    def _tidy(self, probed: Probed) -> None:
        """Removes results that nobody needs."""
        with self._guard:
            if self._needed[probed.output] or any(kept.output == probed.output for kept in self._kept.values()):
                return
        self._remover.remove(probed.output.parent)
