"""What a user waits for: an archive becomes verified artifacts of both tasks; beside Keras's export of one."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.measuring import Contestant, Run, megabytes, seconds
from benchmarks.peers.keras_network import NAMES
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, Workspace, nasexport, peer
from exporter.models.config import ModelConfig

KERAS = "Keras Applications, export of one task"
BUILD, UNVERIFIED, VERIFY = "nasexport build", "nasexport build --no-verify", "nasexport verify, one artifact"


@dataclass(frozen=True)
class _Goals:
    """Times over that of the peer; the share of all cores; memory in 10⁶ bytes."""

    build: Goal
    unverified: Goal | None = None
    verify: Goal | None = None
    share: Goal | None = None
    memory: Goal | None = None


_GOALS: Mapping[str, _Goals] = {
    "nasnet_mobile": _Goals(Goal("ratio", 1.0)),
    "nasnet_large": _Goals(
        Goal("ratio", 1.2),
        Goal("ratio", 0.4),
        # 25 s on a machine where the export takes 30 s.
        Goal("ratio", 0.833),
        Goal("value", 85, most=False),
        Goal("value", 3500),
    ),
}


def measure(workspace: Workspace) -> list[Figure]:
    """Figures of the chosen models that Keras has, too."""
    return [figure for config in workspace.chosen(tuple(_GOALS)) for figure in _figures(workspace, config)]


def _figures(workspace: Workspace, config: ModelConfig) -> Iterable[Figure]:
    assert config.name in NAMES
    goals = _GOALS[config.name]
    output, folder = workspace.scratch("verified"), workspace.scratch("keras")
    build = nasexport("build", config.name, "--checkpoint", workspace.archive(config), "--output", output)
    artifact, checkpoint = workspace.artifact(config, "classification", 4), workspace.checkpoint(config)
    verify = nasexport("verify", artifact, "--checkpoint", checkpoint)
    export = peer("keras_export", workspace.network(config), folder)
    runs = workspace.take_turns(
        "verified",
        [
            Contestant(BUILD, build, HERE, workspace.fresh(output)),
            Contestant(KERAS, export, HERE, workspace.fresh(folder)),
            Contestant(UNVERIFIED, [*build, "--no-verify"], HERE, workspace.fresh(output)),
            Contestant(VERIFY, verify, HERE),
        ],
    )
    key, title = f"verified/{config.name}", f"build {config.name} version 4, both tasks"
    for name, what, ours, goal in (
        ("time", f"{title}, verified", BUILD, goals.build),
        ("unverified", f"{title}, not verified", UNVERIFIED, goals.unverified),
        ("verify", f"verify {config.name} version 4, one task", VERIFY, goals.verify),
    ):
        yield Figure(
            f"{key}/{name}", what, "s", seconds({each: runs[each] for each in (ours, KERAS)}), ours, KERAS, goal
        )
    shares = {name: [_share(run) for run in runs[name]] for name in (BUILD, KERAS)}
    yield Figure(f"{key}/share", f"{title}, verified, share of all cores", "%", shares, BUILD, KERAS, goals.share)
    of_both = {name: runs[name] for name in (BUILD, KERAS)}
    summed = f"{title}, verified, memory of all processes"
    # Its processes are forks of one: pages that they share count once here, and for each of them in the sum.
    proportional = {name: [run.proportional_size / 1e6 for run in ran] for name, ran in of_both.items()}
    yield Figure(f"{key}/memory", f"{title}, verified, peak memory", "MB", proportional, BUILD, KERAS, goals.memory)
    yield Figure(f"{key}/memory-resident", summed, "MB", megabytes(of_both), BUILD, KERAS)


def _share(run: Run) -> float:
    """Per cent of the processor time that all cores had."""
    return 100 * run.processor_seconds / run.seconds / (os.cpu_count() or 1)
