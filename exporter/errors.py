"""The errors that a user can meet.

Each message says what was found, what was expected and what to do next, in one or two lines. The command
line prints the message and exits 1.
"""


class NasexportError(Exception):
    """Base of every error that nasexport raises on purpose."""


class ConfigError(NasexportError):
    """A model, version, format or option that does not exist, or a configuration file that is not valid."""


class CheckpointError(NasexportError):
    """A checkpoint or archive that is missing, damaged, or not the one that the model needs."""


class FetchError(NasexportError):
    """An archive that could not be had from where it should be, or whose bytes are not the right ones."""


class CacheError(NasexportError):
    """The cache cannot be read or written, or its disk is full."""


class ArtifactError(NasexportError):
    """An artifact that cannot be written, read, or moved to its destination."""


class CompatibilityError(ArtifactError):
    """A written file holds something that its oldest reader does not know."""


class WorkerError(NasexportError):
    """A child process ended without an answer: it crashed, was killed, or ran out of time."""


class VerificationError(NasexportError):
    """An artifact was checked and is not right."""


class ImageError(NasexportError):
    """An image that cannot be read."""


class EvaluationError(NasexportError):
    """A data set or its labels that cannot be understood, or a kept evaluation that is of something else."""


class ReleaseError(NasexportError):
    """A release that is not whole, not sound, or not one at all, or artifacts of it that could not be made."""


class ServingError(NasexportError):
    """An address that a server cannot listen on."""


_CLASSES: dict[str, type[NasexportError]] = {
    each.__name__: each
    for each in (
        NasexportError,
        ConfigError,
        CheckpointError,
        FetchError,
        CacheError,
        ArtifactError,
        CompatibilityError,
        WorkerError,
        VerificationError,
        ImageError,
        EvaluationError,
        ReleaseError,
        ServingError,
    )
}


def error_class(name: str) -> type[NasexportError]:
    """The class of that name, by which an error travels between processes."""
    return _CLASSES[name]
