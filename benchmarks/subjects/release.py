"""Time and memory of a whole release: every published artifact, made and verified by two jobs."""

from benchmarks.measuring import BenchmarkError, Contestant
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, IMPORT, MODELS, Workspace, nasexport

RELEASE = "nasexport release --jobs 2"


def measure(workspace: Workspace) -> list[Figure]:
    """One run, as it takes minutes; nothing else makes a release, so importing TensorFlow is measured beside it."""
    output = workspace.scratch("release")
    configs = workspace.chosen(MODELS)
    options: list[object] = ["--jobs", 2, "--output", output, "--models", ",".join(config.name for config in configs)]
    for config in configs:
        options += ["--checkpoint", f"{config.name}={workspace.archive(config)}"]
    contestant = Contestant(RELEASE, nasexport("release", *options), HERE, workspace.fresh(output))
    # Shows how fast the machine is at the time: a shared one may be slower for hours.
    imports = workspace.take_turns("release", [IMPORT], runs=2)[IMPORT.name]
    (run,) = workspace.take_turns("release", [contestant], runs=1)[RELEASE]
    imports += workspace.take_turns("release", [IMPORT], runs=2)[IMPORT.name]
    made = len(list(output.glob("google/imagenet/*/*/*.tar.gz")))
    expected = sum(2 * len(config.versions) for config in configs)
    if made != expected:
        raise BenchmarkError(f"the release has {made} artifacts, expected {expected}: look into {output}")
    whole = len(configs) == len(MODELS)
    names = [config.name for config in configs]
    title = f"release of {made} artifacts, verified"
    extra = {"artifacts": made, "models": names}
    return [
        Figure(
            f"release/{'all' if whole else '+'.join(names)}/{what}",
            text,
            unit,
            {RELEASE: [value], **beside},
            RELEASE,
            goal=goal if whole else None,
            extra=extra,
        )
        for what, text, unit, value, goal, beside in (
            ("time", title, "s", run.seconds, Goal("value", 200.0), {IMPORT.name: [each.seconds for each in imports]}),
            ("memory", f"{title}, peak memory", "MB", run.proportional_size / 1e6, Goal("value", 4000.0), {}),
            ("memory-resident", f"{title}, sum of resident sets", "MB", run.all_processes / 1e6, None, {}),
            ("memory-largest", f"{title}, largest process", "MB", run.largest_process / 1e6, None, {}),
        )
    ]
