"""Makes a release: what is missing of it, side by side, each checkpoint read once for all that is made of it."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exporter.artifact.jobs import EXPORT
from exporter.checkpoint.source import Source
from exporter.errors import FetchError, NasexportError
from exporter.fetch import frozen, published
from exporter.models import variables
from exporter.models.config import ModelConfig
from exporter.models.formats import FORMATS
from exporter.probe.jobs import PROBE
from exporter.processes import run, scheduler
from exporter.processes.memory import for_jobs, free_memory
from exporter.progress import SILENT, Listener
from exporter.reference.jobs import REFERENCE
from exporter.release import finalize
from exporter.release.folder import PARTIAL, held
from exporter.release.manifest import MANIFEST_FILE
from exporter.release.plan import Planned, Target, planned
from exporter.release.tasks import Made, ModelTasks, Outcome
from exporter.settings import Settings


def plan(
    targets: Sequence[Target],
    release: Path,
    checkpoints: Mapping[str, Path],
    settings: Settings = Settings(),
    *,
    listener: Listener = SILENT,
) -> list[Planned]:
    """How each target stands, without the network: a published archive counts where it is in the cache.

    Raises:
        NasexportError: a checkpoint that the user named is not one.
    """
    settings = dataclasses.replace(settings, offline=True)
    found = []
    for config, members in _by_model(targets):
        with contextlib.ExitStack() as stack:
            source, named = None, checkpoints.get(config.name)
            try:
                source = stack.enter_context(published.opened(config, named, settings, listener))
            except FetchError:
                if named:
                    raise
            for target in members:
                listener.step(f"checking {target.place.handle}")
                found.append(planned(target, release, source, settings))
    return sorted(found, key=lambda each: targets.index(each.target))


def require_pinned(targets: Iterable[Target], checkpoints: Collection[str], settings: Settings) -> None:
    """Raises FetchError where ``--frozen`` would refuse to fetch what ``targets`` are made from.

    Args:
        checkpoints: the names of the models whose weights the user named.
    """
    configs = [config for config, _ in _by_model(targets) if config.name not in checkpoints]
    frozen.require_all_pinned(published.lock_entry(config, settings) for config in configs)


def make(
    targets: Sequence[Target],
    release: Path,
    checkpoints: Mapping[str, Path],
    settings: Settings = Settings(),
    *,
    jobs: int = 2,
    memory: int | None = None,
    base_url: str | None = None,
    listener: Listener = SILENT,
    debug: bool = False,
) -> Outcome:
    """Makes what is missing, stale or damaged of ``targets``, and then what belongs to the release as a whole.

    An artifact that fails does not stop the others, but leaves the release without a manifest.

    Args:
        checkpoints: of models by name, what `exporter.checkpoint.source.opened` takes; the others are fetched.
        jobs: how many processes may work at a time.
        memory: how much they may need in all, in bytes; by default nine tenths of what is free now.
        base_url: the address where the release will be, for the programs on its pages.

    Raises:
        ReleaseError: another process makes the same release, its folder cannot be written, or artifacts of other models
            that are there already are not sound.
    """
    began = time.monotonic()
    outcome = Outcome()
    with held(release), contextlib.ExitStack() as stack:
        models = []
        groups = _by_model(targets)
        if not (release / MANIFEST_FILE).exists():
            # Something is to be made: what that takes is imported while checkpoints are unpacked.
            needed = any(FORMATS[target.format].writes_with_tensorflow for target in targets)
            stack.enter_context(run.shared_import(EXPORT, REFERENCE, PROBE, at_once=needed, debug=debug))
        opened = _opened(
            stack, [config for config, _ in groups], checkpoints, settings, listener, release / PARTIAL, debug
        )
        for (config, members), open_ in zip(groups, opened, strict=True):
            try:
                source = open_()
            except NasexportError as error:
                outcome.made += [Made(target.place.handle, "failed", str(error)) for target in members]
                continue
            plans = []
            for target in members:
                listener.step(f"checking {target.place.handle}")
                plans.append(planned(target, release, source, settings))
            outcome.made += [Made(each.target.place.handle, "kept") for each in plans if each.state == "done"]
            if todo := [each for each in plans if each.state != "done"]:
                models.append(ModelTasks(config, source, todo, release, settings, outcome, listener, debug))
        if models or outcome.failed:
            finalize.open_again(release)
        with contextlib.ExitStack() as verifiers:
            # The largest take longest: they begin.
            models.sort(key=lambda model: -variables.parameters(model.config, "classification"))
            for model in models:
                model.open(verifiers)
            tasks = [task for model in models for task in model.tasks()]
            scheduler.run(tasks, jobs, for_jobs(free_memory() if memory is None else memory))
        order = [target.place.handle for target in targets]
        outcome.made.sort(key=lambda made: order.index(made.handle))
        if not outcome.failed:
            listener.step("writing the manifest")
            if stale := finalize.close(release, {made.handle for made in outcome.made}, base_url):
                listener.warn(finalize.stale_signatures(stale))
    outcome.seconds = time.monotonic() - began
    return outcome


def _opened(
    stack: contextlib.ExitStack,
    configs: Sequence[ModelConfig],
    checkpoints: Mapping[str, Path],
    settings: Settings,
    listener: Listener,
    scratch: Path,
    debug: bool,
) -> list[Callable[[], Source]]:
    """What gives the checkpoint of each model, for as long as ``stack`` is open.

    Those that the user named are unpacked side by side; the others are fetched one after the other, when asked for.
    """

    def one(config: ModelConfig) -> Source:
        return stack.enter_context(
            published.opened(config, checkpoints.get(config.name), settings, listener, scratch=scratch, debug=debug)
        )

    with ThreadPoolExecutor() as threads:
        return [
            threads.submit(one, config).result if config.name in checkpoints else functools.partial(one, config)
            for config in configs
        ]


def steps(targets: Collection[Target]) -> int:
    """The number of steps that `make` reports where it has to make all targets."""
    models = {target.config.name for target in targets}
    return 2 * len(models) + 5 * len(targets) + 1


def _by_model(targets: Iterable[Target]) -> list[tuple[ModelConfig, list[Target]]]:
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.config.name, []).append(target)
    return [(members[0].config, members) for members in groups.values()]
