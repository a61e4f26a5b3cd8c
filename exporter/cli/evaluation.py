"""``predict`` and ``evaluate``: running artifacts on images."""

import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from exporter.cli import comparing
from exporter.cli.cluster_options import cluster_options
from exporter.cli.commands import Command, examples
from exporter.cli.options import (
    cache_options,
    called,
    device_option,
    json_option,
    model_type,
    page_option,
    path_type,
    print_data,
    print_json,
    print_text,
    tell,
    trust_option,
    warn,
)
from exporter.cli.values import images_type
from exporter.evaluation.jobs import PredictedImage
from exporter.models.classes import described
from exporter.models.config import ModelConfig, model
from exporter.progress import in_place
from exporter.settings import Settings
from exporter.terminal import counted, joined

model_option = click.option(
    "--model", "model_name", metavar="MODEL", type=model_type, help="Model of an artifact from elsewhere."
)
#: Seconds between two lines of progress if no progress bar is shown.
_INTERVAL = 10
#: Images of a batch: its activations are in memory all at once, tens of megabytes for each image.
LARGEST_BATCH = 1024
_MEANINGLESS = "the artifact has SYNTHETIC weights, not published ones: its predictions are meaningless"


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport predict dist/google/imagenet/nasnet_large/classification/4 photo.jpg",
        "nasexport predict dist/google/imagenet/nasnet_large/classification/onnx photos --top 1 --csv",
    ),
)
@click.argument("path", metavar="PATH", type=path_type)
@click.argument("named", metavar="IMAGE|DIR...", nargs=-1, required=True, type=path_type)
@click.option("--top", type=click.IntRange(1, 10**6), default=5, show_default=True, help="Number of classes to print.")
@model_option
@trust_option
@device_option("a card, where there is one")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: a row for each image and class, titles first.")
@json_option
@click.pass_obj
def predict(
    debug: bool,
    path: Path,
    named: Sequence[Path],
    top: int,
    model_name: str | None,
    trust: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print the most likely classes of images.

    PATH is the folder of a classification artifact, IMAGE a JPEG or PNG file; with nasexport[images] installed, WebP,
    BMP and TIFF files are read, too. DIR stands for all images anywhere below it, in the order of their names, and as
    for `embed` may have TFRecord shards or .tar files in it.

    Images are preprocessed as in the evaluation of the published checkpoints: RGB, the central 87.5 % of height and
    width, bilinear resize. Transparency and the EXIF orientation are ignored.

    An image that cannot be read has a line on standard error; the others are classified, and the exit status is 1.
    """
    if as_csv and as_json:
        raise click.UsageError("name --csv or --json, not both")
    from exporter.evaluation.classifier import Classifier
    from exporter.evaluation.classifying import classify, images_of
    from exporter.progress import progress

    classifier = Classifier.of(path, model_named(model_name), trust)
    classified = classify(classifier, path, images_of(named, warn), top, lambda: progress("predict", 2), debug)
    result = classified.result
    if result and classifier.synthetic:
        warn(_MEANINGLESS)
    problems = [found.problem for found in classified.found if found.problem]
    for text in problems:
        tell(f"nasexport: error: {text}")
    shown = [
        _shown(image.name, found, classifier.classes)
        for image, found in zip(classified.images, classified.found, strict=True)
    ]
    if as_json and result:
        facts = {"image_size": result.image_size, "device": result.device}
        print_json({**classifier.facts(), **facts, "images": shown})
    elif result and len(problems) < len(shown):
        tell(f"predict: computed on {result.device}")
        if as_csv:
            print_data(_csv(shown))
        else:
            print_text("\n".join(_prediction_text(image) for image in shown if not image["error"]))
    if problems:
        raise click.exceptions.Exit(1)


def model_named(name: str | None) -> ModelConfig | None:
    return model(name) if name else None


def _csv(images: Sequence[dict[str, Any]]) -> str:
    """A row for each class of each image that was classified, the likeliest first."""
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")
    rows.writerow(("path", "rank", "index", "wnid", "name", "probability"))
    for image in images:
        for rank, best in enumerate(image["classes"], 1):
            rows.writerow((image["path"], rank, best["index"], best["wnid"], best["name"], best["probability"]))
    return lines.getvalue().removesuffix("\n")


def _shown(name: str, image: PredictedImage, classes: int) -> dict[str, Any]:
    return {
        "path": name,
        "error": image.problem,
        "classes": [_class(index, share, classes) for index, share in image.classes],
    }


def _class(index: int, probability: float, classes: int) -> dict[str, Any]:
    wnid, name = described(index, classes)
    return {"index": index, "wnid": wnid, "name": name, "probability": probability}


def _prediction_text(image: dict[str, Any]) -> str:
    lines = [image["path"]]
    for found in image["classes"]:
        lines.append(
            f"  {100 * found['probability']:6.2f} %  {found['name']}" + (f" ({found['wnid']})" if found["wnid"] else "")
        )
    return joined(lines)


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport evaluate dist/google/imagenet/nasnet_large/classification/4 --images imagenet/validation",
        "nasexport evaluate downloaded/4 --model nasnet_large --images shards --limit 5000 --report page.html",
    ),
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=path_type)
@click.option("--compare", is_flag=True, help="Compare several artifacts on the same images.")
@click.option("--images", metavar="DIR|FILE", type=images_type, required=True, help="The images; see above.")
@click.option("--labels", metavar="FILE", type=path_type, help="File with the labels of the images; see above.")
@click.option("--limit", type=click.IntRange(1, 10**9), help="Evaluate only so many images, spread evenly.")
@click.option(
    "--batch-size", type=click.IntRange(1, LARGEST_BATCH), default=32, show_default=True, help="Images per batch."
)
@click.option("--skip-broken", is_flag=True, help="Skip images that cannot be read, with a warning.")
@click.option(
    "--state", metavar="FILE", type=path_type, help="File for the state of the evaluation. [default: in the cache]"
)
@click.option("--restart", is_flag=True, help="Start again, whatever the state.")
@model_option
@trust_option
@device_option("a card, where there is one")
@page_option
@cluster_options
@cache_options
@json_option
@click.pass_obj
def evaluate(
    debug: bool,
    paths: tuple[Path, ...],
    compare: bool,
    images: Path,
    labels: Path | None,
    limit: int | None,
    batch_size: int,
    skip_broken: bool,
    state: Path | None,
    restart: bool,
    model_name: str | None,
    trust: bool,
    page_file: Path | None,
    engine: Callable[[bool], Any],
    settings: Settings,
    as_json: bool,
) -> None:
    """Measure top-1 and top-5 accuracy on ImageNet's validation images.

    Prints the published accuracy and 95 % confidence intervals (Wilson) beside it; --json adds calibration.

    PATH is the folder of a classification artifact. DIR contains folders of images that are named by wnid, such as
    n01440764; or image files, which need --labels; or TFRecord shards as TF-Slim or TensorFlow Datasets writes them,
    such as validation-00000-of-00128 (DIR/train for another set than that); or .tar files as WebDataset writes them. A
    folder with pictures in more than one of these ways is refused. Of a network whose classes are not ImageNet's,
    folders are named by the index of their class, from 0 on. FILE is one such file, or a list: a .txt or .tsv with a
    path, a tab and a label in each line, or a .csv.

    Each line of the --labels file is a label, in the order of the file names, or a file name and a label. A label is a
    wnid, as in TF-Slim's imagenet_2012_validation_synset_labels.txt, or the index of the network's output, from 1 to
    1000 in the order of the wnids (the numbers in ILSVRC2012_validation_ground_truth.txt have another order). Networks
    of other classes have no background, and number them from 0 on.

    An evaluation that was stopped continues when the same command is run again; the result of a finished one is kept.

    With --compare, several PATHs are evaluated in one pass, each with a state of its own in the cache, and held against
    each other: how often they give the same answer, and McNemar's test of whether they are right equally often. The
    page of --report then has the curves of all, and pictures on which they disagree.
    """
    if len(paths) > 1 and not compare:
        raise click.UsageError("several PATHs need --compare")
    if compare:
        if len(paths) < 2 or state:
            raise click.UsageError(
                "--compare needs two PATHs or more" if len(paths) < 2 else "--compare has no --state"
            )
        comparing.compare(
            *(paths, images, labels, limit, batch_size, skip_broken, restart, model_named(model_name), trust),
            *(page_file, settings.cache, engine(debug), as_json, at_intervals),
        )
        return
    (path,) = paths
    from exporter.artifact.metadata import read_metadata
    from exporter.evaluation import evaluation
    from exporter.evaluation.classifier import Classifier
    from exporter.evaluation.dataset import listed
    from exporter.progress import progress
    from exporter.report import page
    from exporter.report.section import evaluation_section

    classifier = Classifier.of(path, model_named(model_name), trust)
    dataset = listed(images, labels, classifier.classes, limit, called(images))
    for text in dataset.warnings:
        warn(text)
    with (
        page.writing(page_file) as sections,
        evaluation.opened(classifier, dataset, settings.cache, state, restart) as run,
    ):
        if run.finished:
            tell(f"evaluate: already finished, the result is in {run.state}; use --restart to evaluate again")
        elif run.done:
            tell(f"evaluate: continuing after {run.done:,} of {counted(run.total, 'image')}")
        if not run.finished:
            steps = 2 + -(-(run.total - run.done) // batch_size)
            try:
                with progress("evaluate", steps) as listener:
                    run.run(batch_size, skip_broken, at_intervals(listener.step), engine(debug))
            except (KeyboardInterrupt, SystemExit):
                run.load()  # the stop may have come before the last batch was saved
                done = f"{run.done:,} of {counted(run.total, 'image')}"
                tell(f"evaluate: stopped after {done}; run the same command to continue")
                raise
        result = run.result()
        sections.append(evaluation_section(result, read_metadata(path)))
    if result["broken"]:
        broken = counted(len(result["broken"]), "image")
        warn(f"{broken} could not be read and skipped; the first is {result['broken'][0]}")
    if as_json:
        if classifier.synthetic:
            warn(_MEANINGLESS)
        print_json(result)
    else:
        print_text(_evaluation_text(result))


def at_intervals(report: Callable[[str], None]) -> Callable[[str], None]:
    """Reports every batch to a progress bar, but only now and then if each report is a line."""
    if in_place():
        return report
    last = float("-inf")

    def at_intervals(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _INTERVAL:
            last = time.monotonic()
            report(text)

    return at_intervals


def _evaluation_text(result: dict[str, Any]) -> str:
    dataset = result["dataset"]
    of_all = "" if result["images"] == dataset["available"] else f" of {dataset['available']:,}"
    lines = [
        result["artifact"],
        f"  images       {result['images']:,}{of_all} in {dataset['folder']} ({dataset['arrangement']})",
        f"  top-1        {_accuracy_text(result['top_1'])}",
        f"  top-5        {_accuracy_text(result['top_5'])}",
        f"  calibration  off by {100 * result['calibration']['expected_calibration_error']:.2f} points on average",
        f"  computed on  {', '.join(result['devices']) or 'an unknown device'}",
        f"  kept in      {result['state']}",
    ]
    if result["synthetic"]:
        lines.append("  source       SYNTHETIC weights, not published ones: these figures are meaningless")
    return joined(lines)


def _accuracy_text(top: dict[str, Any]) -> str:
    low, high = top["interval"]
    text = f"{top['accuracy']:.2f} %, 95 % confidence {low:.2f} to {high:.2f}"
    if top["published"] is None:
        return f"{text}; no published figure"
    return f"{text}; published {top['published']:.1f} %, difference {top['difference']:+.2f}"
