"""`nasexport.verify`."""

from collections.abc import Sequence

from exporter.processes.job import Device
from exporter.reference.jobs import KINDS, Kind
from exporter.verification.options import VerificationOptions
from exporter.verification.results import Report
from nasexport import _progress, _settings
from nasexport._arguments import StrPath, computing_on, config_of, listed, one_of, optional_path, path_of, within
from nasexport._progress import Progress
from nasexport._settings import Settings
from nasexport.results import Check, Verification

#: Seconds; a timer takes no more than so many years.
_LONGEST_TIME_LIMIT = 604_800


def verify(
    path: StrPath,
    *,
    checkpoint: StrPath | None = None,
    model: StrPath | None = None,
    version: int | None = None,
    against: Kind | Sequence[Kind] = (),
    reference: StrPath | None = None,
    time_limit: float = 1800.0,
    trust: bool = False,
    jobs: int | None = None,
    device: Device | None = None,
    settings: Settings | None = None,
    progress: Progress = True,
    debug: bool = False,
) -> Verification:
    """Compares an artifact with the original network on its checkpoint, as ``nasexport verify`` does.

    What is returned is true if all checks passed.

        >>> import nasexport
        >>> found = nasexport.verify("dist/google/imagenet/nasnet_large/classification/4")  # doctest: +SKIP
        >>> found.passed, [check.name for check in found.failed]  # doctest: +SKIP
        (True, [])

    Args:
        path: the folder of an artifact, or a ``.tar.gz`` of it.
        checkpoint: the weights to compare with, by default the published archive.
        model: what an artifact is of that nasexport did not write: a name, or the path of a ``.yaml`` file.
        version: its version, with ``model``; by default as its files look.
        against: names of implementations to compare with besides: ``"numpy"``, ``"keras"``.
        reference: a recorded reference to compare with.
        time_limit: how long each process may take, in seconds.
        trust: whether to load what can do more than compute, such as write files.
        jobs, device, settings, progress, debug: as for `nasexport.build`.

    Raises:
        ArtifactError: there is no artifact, or it can do more than compute.
        ConfigError: there is no such model or version.
        CheckpointError, FetchError: the checkpoint cannot be had, or is not the model's.
    """
    from exporter.verification import verify as library

    named = listed(against) or []
    for name in named:
        one_of("against", name, KINDS)
    kinds = tuple(kind for kind in KINDS if kind in named)
    within("time_limit", time_limit, 1e-3, _LONGEST_TIME_LIMIT)
    options = VerificationOptions(
        config_of(model) if model is not None else None,
        version,
        kinds,
        optional_path(reference),
        time_limit,
        trust=trust,
    )
    place = path_of(path)
    with _progress.shown(progress, "verify") as listener, computing_on(device):
        (report,) = library.verify(
            [place],
            optional_path(checkpoint),
            _settings.chosen(settings),
            options,
            jobs=jobs,
            listener=listener,
            debug=debug,
        )
    return Verification(place, checks_of(report), report.notes)


def checks_of(report: Report) -> tuple[Check, ...]:
    """The checks of a report, as users see them."""
    return tuple(
        Check(check.name, check.figure, check.tolerance, check.passed, check.detail) for check in report.checks
    )
