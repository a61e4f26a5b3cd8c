"""What nasexport raises: an error of each family has a message of one or two lines that says what to do.

==========================  ============================================================================================
`NasexportError`            the base of all of them
`ConfigError`               a model, version, format or option that there is not, or a configuration file that is not
                            valid
`CheckpointError`           a checkpoint or archive that is missing, damaged, or not the one that the model needs
`FetchError`                an archive cannot be had from where it should be, or has other bytes than it should
`CacheError`                the cache cannot be read or written, or its disk is full
`ArtifactError`             an artifact cannot be written, read or moved, or can do more than compute
`CompatibilityError`        a written file holds something that its oldest reader does not know; an `ArtifactError`
`VerificationError`         an artifact was checked while it was built, and is not right
`ImageError`                an image cannot be read
`ClusterError`              a cluster of Dask cannot be reached or used
`EvaluationError`           a data set or its labels cannot be understood
`ReleaseError`              a release is not whole or not sound, or artifacts of it could not be made
`OtherReleaseError`         another nasexport made the release, and it alone can check all of it; a `ReleaseError`
`PublishError`              a release cannot be put where others load it from, or is not whole there
`SigningError`              a release cannot be signed, or a signature not be checked
`ServingError`              a server cannot listen at its address
`DeviceError`               there is no graphics card to compute on
`MachineError`              the machine is too small for the work, or a package is missing
`WorkerError`               a process that did the work has crashed, was killed, or took too long
==========================  ============================================================================================

    >>> import nasexport
    >>> try:
    ...     nasexport.build("nasnet_huge")
    ... except nasexport.errors.ConfigError as error:
    ...     print(str(error).partition(";")[0])
    there is no model 'nasnet_huge'

What is not right but does not stop the work is a warning, `NasexportWarning`.
"""

from exporter.errors import (
    ArtifactError,
    CacheError,
    CheckpointError,
    ClusterError,
    CompatibilityError,
    ConfigError,
    DeviceError,
    EvaluationError,
    FetchError,
    ImageError,
    MachineError,
    NasexportError,
    OtherReleaseError,
    PublishError,
    ReleaseError,
    ServingError,
    SigningError,
    VerificationError,
    WorkerError,
)

__all__ = [
    "ArtifactError",
    "CacheError",
    "CheckpointError",
    "ClusterError",
    "CompatibilityError",
    "ConfigError",
    "DeviceError",
    "EvaluationError",
    "FetchError",
    "ImageError",
    "MachineError",
    "NasexportError",
    "NasexportWarning",
    "OtherReleaseError",
    "PublishError",
    "ReleaseError",
    "ServingError",
    "SigningError",
    "VerificationError",
    "WorkerError",
]


class NasexportWarning(UserWarning):
    """Something that the user should know, and that does not stop the work."""
