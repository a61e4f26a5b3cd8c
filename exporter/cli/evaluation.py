"""``predict`` and ``evaluate``: artifacts at work on images."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from exporter.cli.options import cache_options, json_option, model_type, path_type, print_json, report_option, warn
from exporter.models.classes import described
from exporter.models.config import ModelConfig, model
from exporter.settings import Settings

_model_option = click.option(
    "--model", "model_name", metavar="MODEL", type=model_type, help="What an artifact from elsewhere is of."
)
#: Seconds between two lines of progress where no bar is shown.
_INTERVAL = 10
_MEANINGLESS = "the artifact has SYNTHETIC weights, not published ones: what it says of images means nothing"


@click.command()
@click.argument("path", metavar="PATH", type=path_type)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=path_type)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Number of classes to print.")
@_model_option
@json_option
@click.pass_obj
def predict(debug: bool, path: Path, images: Sequence[Path], top: int, model_name: str | None, as_json: bool) -> None:
    """Print the likeliest ImageNet classes of images, with their probabilities.

    PATH is the folder of a classification artifact, IMAGE a JPEG or PNG file. Images are treated as in the evaluation
    of the published checkpoints: RGB, the central 87.5 % of height and width, bilinear resize. The orientation that a
    camera noted (EXIF) is not looked at.
    """
    from exporter.evaluation.classifier import Classifier
    from exporter.evaluation.image_files import require_image
    from exporter.evaluation.jobs import PREDICT, Image, PredictRequest
    from exporter.processes import run as worker
    from exporter.progress import progress

    classifier = Classifier.of(path, _named(model_name))
    for image in images:
        require_image(image)
    request = PredictRequest(classifier.to_load(), tuple(map(Image, images)), top)
    with progress("predict", 2) as listener:
        result = worker.run(PREDICT, request, listener.step, debug).result
    if classifier.synthetic:
        warn(_MEANINGLESS)
    shown = [
        {"path": str(image), "classes": [_class(index, share, classifier.classes) for index, share in classes]}
        for image, classes in zip(images, result.images, strict=True)
    ]
    if as_json:
        print_json({**classifier.facts(), "image_size": result.image_size, "images": shown})
    else:
        click.echo("\n".join(map(_prediction_text, shown)))


def _named(name: str | None) -> ModelConfig | None:
    return model(name) if name else None


def _class(index: int, probability: float, classes: int) -> dict[str, Any]:
    wnid, name = described(index, classes)
    return {"index": index, "wnid": wnid, "name": name, "probability": probability}


def _prediction_text(image: dict[str, Any]) -> str:
    lines = [image["path"]]
    for found in image["classes"]:
        lines.append(
            f"  {100 * found['probability']:6.2f} %  {found['name']}" + (f" ({found['wnid']})" if found["wnid"] else "")
        )
    return "\n".join(lines)


@click.command()
@click.argument("path", metavar="PATH", type=path_type)
@click.option("--images", "folder", metavar="DIR", type=path_type, required=True, help="Folder of the images.")
@click.option("--labels", metavar="FILE", type=path_type, help="Labels of a folder of image files; see above.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many images, spread evenly over all.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Images at once.")
@click.option("--skip-broken", is_flag=True, help="Leave out images that cannot be read, and name them.")
@click.option("--state", metavar="FILE", type=path_type, help="Keeps what is done. [default: in the cache folder]")
@click.option("--restart", is_flag=True, help="Begin anew, whatever is kept.")
@_model_option
@report_option
@cache_options
@json_option
@click.pass_obj
def evaluate(
    debug: bool,
    path: Path,
    folder: Path,
    labels: Path | None,
    limit: int | None,
    batch_size: int,
    skip_broken: bool,
    state: Path | None,
    restart: bool,
    model_name: str | None,
    report_file: Path | None,
    settings: Settings,
    as_json: bool,
) -> None:
    """Measure top-1 and top-5 accuracy on ImageNet's validation images.

    The published figures are printed beside it, and 95 % confidence intervals (Wilson); --json adds calibration.

    PATH is the folder of a classification artifact. DIR holds folders of images that are named by wnid, such as
    n01440764; or image files, which need --labels; or TFRecord shards as TF-Slim writes them, such as
    validation-00000-of-00128.

    The lines of --labels hold a label each, in the order of the file names, or a file name and a label. A label is a
    wnid, as in TF-Slim's imagenet_2012_validation_synset_labels.txt. A number is taken for the index of the network's
    output, from 1 to 1000 in the order of the wnids; ILSVRC2012_validation_ground_truth.txt has another order.

    A stopped evaluation goes on where it was when the same command is given again; a finished one is kept.
    """
    from exporter.artifact.metadata import read_metadata
    from exporter.evaluation import evaluation
    from exporter.evaluation.classifier import Classifier
    from exporter.evaluation.dataset import listed
    from exporter.progress import progress
    from exporter.report import page

    classifier = Classifier.of(path, _named(model_name))
    dataset = listed(folder, labels, classifier.classes, limit)
    for text in dataset.warnings:
        warn(text)
    with (
        page.opened(report_file) as subjects,
        evaluation.opened(classifier, dataset, settings.cache, state, restart) as run,
    ):
        if run.finished:
            click.echo(f"evaluate: this was done before and is kept in {run.state}; --restart does it again", err=True)
        elif run.position:
            click.echo(f"evaluate: continuing after {run.position:,} of {run.total:,} images", err=True)
        if not run.finished:
            steps = 2 + -(-(run.total - run.position) // batch_size)
            try:
                with progress("evaluate", steps) as listener:
                    run.run(batch_size, skip_broken, _at_intervals(listener.step), debug=debug)
            except (KeyboardInterrupt, SystemExit):
                run.load()  # a stop may come between a batch and its being saved
                click.echo(
                    f"evaluate: stopped after {run.position:,} of {run.total:,} images; the same command continues",
                    err=True,
                )
                raise
        result = run.result()
        subjects.append(page.evaluated(result, read_metadata(path)))
    if result["broken"]:
        warn(f"{len(result['broken'])} images could not be read and were left out; the first is {result['broken'][0]}")
    if as_json:
        if classifier.synthetic:
            warn(_MEANINGLESS)
        print_json(result)
    else:
        click.echo(_evaluation_text(result))


def _at_intervals(report: Callable[[str], None]) -> Callable[[str], None]:
    """A bar moves with each batch, a file gets a line now and then."""
    if sys.stderr.isatty():
        return report
    last = float("-inf")

    def now_and_then(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _INTERVAL:
            last = time.monotonic()
            report(text)

    return now_and_then


def _evaluation_text(result: dict[str, Any]) -> str:
    dataset = result["dataset"]
    of_all = "" if result["images"] == dataset["available"] else f" of {dataset['available']:,}"
    lines = [
        result["artifact"],
        f"  images       {result['images']:,}{of_all} in {dataset['folder']} ({dataset['layout']})",
        f"  top-1        {_accuracy_text(result['top_1'])}",
        f"  top-5        {_accuracy_text(result['top_5'])}",
        f"  calibration  off by {100 * result['calibration']['expected_calibration_error']:.2f} points on average",
        f"  kept in      {result['state']}",
    ]
    if result["synthetic"]:
        lines.append("  source       SYNTHETIC weights, not published ones: these figures mean nothing")
    return "\n".join(lines)


def _accuracy_text(top: dict[str, Any]) -> str:
    low, high = top["interval"]
    text = f"{top['accuracy']:.2f} %, 95 % confidence {low:.2f} to {high:.2f}"
    if top["published"] is None:
        return f"{text}; no published figure"
    return f"{text}; published {top['published']:.1f} %, difference {top['difference']:+.2f}"
