"""The errors that a user can meet.

Each message says what was found, what was expected and what to do next, in one or two lines. The command
line prints the message and exits with the error's status.
"""

#: Exit statuses: what was given or looked at is not right; the command line asks for what there is not; something is
#: missing, fails or is in the way, so that nothing was done or found out.
WRONG, USAGE, NOT_DONE = 1, 2, 3


class NasexportError(Exception):
    """Base of every error that nasexport raises on purpose.

    Its ``status`` is the exit status of the command that it ends: the one that it is given; or `NOT_DONE` where the
    system refused something, so that it comes ``from`` an OSError with a number; or that of the error of the same class
    that it tells in other words; or else that of its class.
    """

    usual_status = NOT_DONE

    def __init__(self, *message: object, status: int | None = None):
        super().__init__(*message)
        self._status = status

    @property
    def status(self) -> int:
        """See above."""
        if self._status is not None:
            return self._status
        cause = self.__cause__
        if isinstance(cause, OSError) and cause.errno is not None:
            return NOT_DONE
        return cause.status if type(cause) is type(self) else self.usual_status


class OutputError(NasexportError):
    """Standard output cannot be written."""


class ConfigError(NasexportError):
    """A model, version, format or option that does not exist, or a configuration file that is not valid."""

    usual_status = WRONG


class CheckpointError(NasexportError):
    """A checkpoint or archive that is missing, damaged, or not the one that the model needs."""

    usual_status = WRONG


class FetchError(NasexportError):
    """An archive that could not be had from where it should be, or whose bytes are not the right ones."""


class CacheError(NasexportError):
    """The cache cannot be read or written, or its disk is full."""


class ArtifactError(NasexportError):
    """An artifact that cannot be written, read, or moved to its destination."""

    usual_status = WRONG


class CompatibilityError(ArtifactError):
    """A written file holds something that its oldest reader does not know."""


class WorkerError(NasexportError):
    """A child process ended without an answer: it crashed, was killed, or ran out of time."""


class MachineError(NasexportError):
    """The machine, or what it allows a process, is too small for the work, or lacks what it needs."""


class ClusterError(NasexportError):
    """A cluster that cannot be reached or used, or whose workers cannot do the work."""


class DeviceError(NasexportError):
    """There is no device of the kind that the user wants the computations to run on."""


class VerificationError(NasexportError):
    """An artifact was checked and is not right."""

    usual_status = WRONG


class ImageError(NasexportError):
    """An image that cannot be read."""

    usual_status = WRONG


class EvaluationError(NasexportError):
    """A data set or its labels that cannot be understood, or a kept evaluation that is of something else."""

    usual_status = WRONG


class ReleaseError(NasexportError):
    """A release that is not whole, not sound, or not one at all, or artifacts of it that could not be made."""

    usual_status = WRONG


class OtherReleaseError(ReleaseError):
    """A release that another nasexport made, which alone can say whether all of it is right."""

    usual_status = 3


class SigningError(NasexportError):
    """A release that cannot be signed, or a signature that cannot be checked: a key, an identity or a library is
    missing, or a service does not answer.
    """

    usual_status = 3


class PublishError(NasexportError):
    """A place that a release cannot be published to: it cannot be had or written, or has other bytes than were sent."""


class ServingError(NasexportError):
    """An address that a server cannot listen on."""


_CLASSES: dict[str, type[NasexportError]] = {
    each.__name__: each
    for each in (
        NasexportError,
        OutputError,
        ConfigError,
        CheckpointError,
        FetchError,
        CacheError,
        ArtifactError,
        CompatibilityError,
        WorkerError,
        MachineError,
        ClusterError,
        DeviceError,
        VerificationError,
        ImageError,
        EvaluationError,
        ReleaseError,
        OtherReleaseError,
        SigningError,
        PublishError,
        ServingError,
    )
}


def error_class(name: str) -> type[NasexportError]:
    """The class of that name, by which an error travels between processes."""
    return _CLASSES[name]


def reason(error: Exception) -> str:
    """The error of a library as one line: its class and the beginning of its message."""
    return f"{type(error).__name__}: " + " ".join(str(error).split())[:300]
