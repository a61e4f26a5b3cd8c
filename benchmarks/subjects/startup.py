"""How long quick commands take, beside Python that does nothing and Python that imports TensorFlow."""

from benchmarks.measuring import Contestant
from benchmarks.results import Figure, Goal
from benchmarks.workspace import HERE, IMPORT, PYTHON, Workspace, nasexport

COMMANDS = {"help": "--help", "models": "models"}
NOTHING = "python -c pass"


def measure(workspace: Workspace) -> list[Figure]:
    """`models` looks into the cache, so the cache folder is one that does not exist."""
    cache = {**HERE, "NASEXPORT_CACHE_DIR": str(workspace.scratch("no-cache"))}
    ours = {key: f"nasexport {argument}" for key, argument in COMMANDS.items()}
    contestants = [
        *(Contestant(ours[key], nasexport(argument), cache) for key, argument in COMMANDS.items()),
        Contestant(NOTHING, [PYTHON, "-c", "pass"]),
        IMPORT,
    ]
    found = workspace.take_turns("startup", contestants)
    figures = []
    for key, name in ours.items():
        runs = {contestant: [run.seconds for run in found[contestant]] for contestant in (name, IMPORT.name, NOTHING)}
        figures.append(Figure(f"startup/{key}", name, "s", runs, name, IMPORT.name, Goal("value", 0.3)))
    return figures
