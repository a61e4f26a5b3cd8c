"""Runs jobs in the same way each time, and keeps how much memory they took."""

from pathlib import Path

from exporter.processes import run
from exporter.processes.job import Job, NoEvent, Request, Result
from exporter.progress import Say


class Runner:
    """Runs jobs within one time limit, in seconds each, with temporary files in one folder; from several threads."""

    def __init__(self, folder: Path, time_limit: float, debug: bool):
        self.folder, self._time_limit, self._debug = folder, time_limit, debug
        self._peaks: dict[str, int] = {}

    @property
    def peaks(self) -> dict[str, int]:
        """The largest resident set that the processes of each job had so far, in bytes, by the job's name."""
        return dict(self._peaks)

    def run(self, job: Job[Request, Result, NoEvent], request: Request, say: Say) -> Result:
        """Runs a job as `exporter.processes.run.run` does."""
        finished = run.run(job, request, say, self._debug, time_limit=self._time_limit, scratch=self.folder)
        self._peaks[job.name] = max(finished.peak_memory, self._peaks.get(job.name, 0))
        return finished.result
