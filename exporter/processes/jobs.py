"""The job that looks for a graphics card, with what goes in and comes out; without TensorFlow and NumPy."""

from dataclasses import dataclass

from exporter.processes.job import Job, NoEvent


@dataclass(frozen=True)
class FindCardRequest:
    """Nothing is to be said."""


@dataclass(frozen=True)
class CardFound:
    """What the card is called."""

    name: str


FIND_CARD: Job[FindCardRequest, CardFound, NoEvent] = Job(
    reference="exporter.processes.jobs:FIND_CARD",
    function="exporter.processes.computation:find_card",
    request=FindCardRequest,
    result=CardFound,
    runs_network=True,
    devices=("cpu", "gpu"),
)
