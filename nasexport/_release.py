"""`nasexport.release`."""

from collections.abc import Mapping, Sequence

from exporter.errors import ReleaseError
from exporter.models.config import models as known_models
from exporter.models.formats import Format, Version
from exporter.processes.job import Device
from nasexport import _progress, _settings
from nasexport._arguments import StrPath, computing_on, config_of, listed, one_of, path_of, within
from nasexport._progress import Progress
from nasexport._settings import Settings
from nasexport.results import ReleasedArtifact, ReleaseResult

#: Of failures, in a message.
_SHOWN = 3


def release(
    output: StrPath = "release",
    *,
    models: StrPath | Sequence[StrPath] | None = None,
    versions: Sequence[Version] | None = None,
    formats: Format | Sequence[Format] | None = None,
    checkpoints: Mapping[str, StrPath] | None = None,
    jobs: int = 2,
    memory: int | None = None,
    device: Device | None = None,
    settings: Settings | None = None,
    progress: Progress = True,
    debug: bool = False,
) -> ReleaseResult:
    """Makes all published artifacts, verified, with their pages, in a folder that any web server can serve.

    It does what ``nasexport release`` does: what is up to date is not made again, so that the same call goes on after a
    stop.

        >>> import nasexport
        >>> made = nasexport.release("release", models="nasnet_mobile")  # doctest: +SKIP
        >>> [artifact.handle for artifact in made]  # doctest: +SKIP

    Args:
        output: the folder of the release.
        models: names of models, or paths of ``.yaml`` files; by default all that were published.
        versions: only these: numbers, or names of formats without numbers.
        formats: only these, or ``"all"``; by default those that were published.
        checkpoints: of models by name: a checkpoint's prefix, file, folder or ``.tar.gz``; the other models have their
            published archives.
        jobs: how many processes work at a time.
        memory: how much they may need in all, in bytes; by default nine tenths of what is free.
        device, settings, progress, debug: as for `nasexport.build`.

    Raises:
        ReleaseError: artifacts could not be made; the others were, but the release has no manifest. Or another process
            makes the same release, or its folder cannot be written.
        ConfigError: there is no such model, version or format.
    """
    from exporter.models.formats import written
    from exporter.release import make as library
    from exporter.release import plan

    within("jobs", jobs, 1, float("inf"))
    named = listed(models)
    if named is None:
        configs = [config for config in known_models().values() if config.published]
    else:
        configs = [config_of(name) for name in named]
    chosen = listed(formats)
    if chosen == ["all"]:
        chosen = plan.all_formats(configs)
    for name in chosen or ():
        one_of("formats", name, written())
    for name in checkpoints or ():
        one_of("checkpoints", name, [config.name for config in configs])
    targets = plan.targets(configs, versions, chosen)
    place = path_of(output)
    paths = {name: path_of(path) for name, path in (checkpoints or {}).items()}
    with _progress.shown(progress, "release", library.steps(targets)) as listener, computing_on(device):
        outcome = library.make(
            targets,
            place,
            paths,
            _settings.chosen(settings),
            jobs=jobs,
            memory=memory,
            listener=listener,
            debug=debug,
        )
    if failed := outcome.failed:
        reasons = "\n".join(f"{made.handle}: {made.reason}" for made in failed[:_SHOWN])
        raise ReleaseError(f"{len(failed)} of {len(outcome.made)} artifacts were not made, the others were:\n{reasons}")
    artifacts = tuple(ReleasedArtifact(made.handle, made.state, made.seconds) for made in outcome.made)
    return ReleaseResult(place, artifacts, outcome.seconds)
