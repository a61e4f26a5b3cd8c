"""What the probe of any format gives to the job that runs it."""

from dataclasses import dataclass

from exporter.files.arrays import Found


@dataclass(frozen=True)
class ProbeOutput:
    """What an artifact does: ``arrays``, as they are found, and ``findings`` of a compatibility check of its file.

    ``network`` is equal for artifacts that may have something in common, so that a probe of one can take it from a
    probe of the other; None where there is none.
    """

    arrays: Found
    findings: list[str]
    network: str | None
