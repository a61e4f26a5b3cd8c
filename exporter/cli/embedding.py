"""``embed``: feature vectors of a data set's images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from exporter.cli.cluster_options import cluster_options
from exporter.cli.commands import Command, examples
from exporter.cli.evaluation import LARGEST_BATCH, at_intervals, model_named, model_option
from exporter.cli.options import (
    cache_options,
    called,
    device_option,
    json_option,
    path_type,
    print_json,
    print_text,
    tell,
    trust_option,
    warn,
)
from exporter.cli.values import images_type, output_type
from exporter.settings import Settings
from exporter.terminal import counted, joined


@click.command(
    cls=Command,
    epilog=examples(
        "nasexport embed dist/google/imagenet/nasnet_mobile/feature_vector/4 --images photos --output features.parquet",
        "nasexport embed dist/google/imagenet/nasnet_large/feature_vector/onnx --images list.csv --output features",
    ),
)
@click.argument("path", metavar="PATH", type=path_type)
@click.option("--images", metavar="DIR|FILE", type=images_type, required=True, help="The images; see above.")
@click.option(
    "--output", metavar="FILE|DIR", type=output_type, required=True, help="File or folder for the vectors; see above."
)
@click.option("--limit", type=click.IntRange(1, 10**9), help="Take only so many images, spread evenly.")
@click.option(
    "--batch-size", type=click.IntRange(1, LARGEST_BATCH), default=32, show_default=True, help="Images per batch."
)
@click.option("--skip-broken", is_flag=True, help="Skip images that cannot be read, with a warning.")
@click.option("--restart", is_flag=True, help="Start again, whatever is in the output.")
@model_option
@trust_option
@device_option("a card, where there is one")
@cluster_options
@cache_options
@json_option
@click.pass_obj
def embed(
    debug: bool,
    path: Path,
    images: Path,
    output: Any,
    limit: int | None,
    batch_size: int,
    skip_broken: bool,
    restart: bool,
    model_name: str | None,
    trust: bool,
    engine: Callable[[bool], Any],
    settings: Settings,
    as_json: bool,
) -> None:
    """Write the feature vectors of images.

    PATH is the folder of a feature_vector artifact of any format. The images are those anywhere below a folder; or in
    TFRecord shards (a folder of them, one file, or DIR/train for one of several sets) as TF-Slim or TensorFlow Datasets
    writes them; or in .tar files as WebDataset writes them; or those that a file lists: a .txt with a path in each
    line, a .csv or .tsv with a column of paths and, perhaps, one of labels.

    The output is one Parquet file (NAME.parquet, with nasexport[parquet] installed) with the columns path, label (where
    there is one) and features; or TFRecords (NAME.tfrecord); or a folder of NumPy's .npy parts, whose rows index.jsonl
    names. A record beside it (NAME.parquet.json, or record.json in the folder) says what it came from.

    Images and output may lie in stores that fsspec reaches, with nasexport[publish] installed: s3://bucket/photos,
    s3://bucket/features.parquet. Images are copied to the cache. An output is computed there and sent when it is
    finished, the record last, and each file is read back.

    A run that was stopped continues when the same command is run again. An output of another artifact, of other images
    or of another batch size is refused.
    """
    from exporter.evaluation.classifier import Extractor
    from exporter.evaluation.dataset import listed
    from exporter.evaluation.embedding_run import opened
    from exporter.progress import progress

    extractor = Extractor.of(path, model_named(model_name), trust)
    dataset = listed(images, None, None, limit, called(images))
    for text in dataset.warnings:
        warn(text)
    with opened(extractor, dataset, output, batch_size, restart) as run:
        found = run.found
        if found is not None:
            tell(f"embed: already finished, the vectors are in {run.place}; use --restart to compute them again")
            run.tidy()
        else:
            if run.done:
                tell(f"embed: continuing after {run.done:,} of {counted(run.total, 'image')}")
            steps = 4 + -(-(run.total - run.done) // batch_size)
            try:
                with progress("embed", steps) as listener:
                    run.run(skip_broken, at_intervals(listener.step), engine(debug))
                    found = run.finish(listener, debug=debug)
            except (KeyboardInterrupt, SystemExit):
                run.recount()
                done = f"{run.done:,} of {counted(run.total, 'image')}"
                tell(f"embed: stopped after {done}; run the same command to continue")
                raise
    if found["broken"]:
        first = found["broken"][0]["path"]
        warn(f"{counted(len(found['broken']), 'image')} could not be read and skipped; the first is {first}")
    if found["synthetic"]:
        warn("the artifact has SYNTHETIC weights, not published ones: its feature vectors are meaningless")
    if as_json:
        print_json({"output": run.place, "record": run.record_place, **found})
    else:
        print_text(_text(run.place, run.record_place, found))


def _text(output: str, record: str, found: dict[str, Any]) -> str:
    images = found["images"]
    of_all = "" if images["count"] == images["available"] else f" of {images['available']:,}"
    return joined(
        [
            output,
            f"  images       {images['count']:,}{of_all} in {images['folder']} ({images['arrangement']})",
            f"  vectors      {found['rows']:,} of {found['width']:,} numbers, float32",
            f"  artifact     {found['artifact']}",
            f"  computed on  {', '.join(found['devices']) or 'an unknown device'}",
            f"  record       {record}",
        ]
    )
