"""``synth``: checkpoints made up."""

from pathlib import Path

import click

from exporter.commands.options import model_type, path_type
from exporter.config import model

LAYOUTS = ("plain", "averages", "training")


@click.command()
@click.argument("name", metavar="MODEL", type=model_type)
@click.option("--output", type=path_type, required=True, help="Prefix to write, or a .tar.gz to pack.")
@click.option("--layout", type=click.Choice(LAYOUTS), default="plain", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.pass_obj
def synth(debug: bool, name: str, output: Path, layout: str, seed: int) -> None:
    """Write a synthetic checkpoint: the exact layout of the published one, with made-up weights.

    The weights depend on the seed alone. Seed 0 gives the weights on which the outputs of the original networks were
    recorded. What is built from it says so in its metadata.
    """
    from exporter import worker
    from exporter.progress import progress

    request = {"config": model(name).to_dict(), "output": str(output), "layout": layout, "seed": seed}
    with progress(f"synthetic {name}", None) as report:
        result = worker.run("synthesize", request, report, debug)
    for path in result["files"]:
        click.echo(path)
