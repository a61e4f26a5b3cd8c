"""All jobs that there are."""

import importlib
from pathlib import Path
from typing import Any

import exporter
from exporter.processes.job import Job

_PACKAGE = Path(exporter.__file__).parent


def all_jobs() -> dict[str, Job[Any, Any, Any]]:
    """The rows of every ``jobs.py``, by the place where each is found."""
    found = {}
    for path in sorted(_PACKAGE.glob("*/jobs.py")):
        module = f"exporter.{path.parent.name}.jobs"
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, Job):
                found[f"{module}:{name}"] = value
    return found
