"""``evaluate --compare``: several artifacts over the same data set."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from exporter.cli.options import called, print_json, print_text, tell, warn
from exporter.errors import EvaluationError
from exporter.models.config import ModelConfig
from exporter.terminal import counted, joined


def compare(
    paths: Sequence[Path],
    images: Path,
    labels: Path | None,
    limit: int | None,
    batch_size: int,
    skip_broken: bool,
    restart: bool,
    named: ModelConfig | None,
    trust: bool,
    page_file: Path | None,
    cache: Path,
    engine: Any,
    as_json: bool,
    report: Callable[[Callable[[str], None]], Callable[[str], None]],
) -> None:
    """Evaluates artifacts on the same images, and prints how they differ.

    Args:
        report: bounds how often progress is told, see `exporter.cli.evaluation.at_intervals`.

    Raises:
        EvaluationError: they have different numbers of classes, or one is there twice.
    """
    from exporter.evaluation import evaluation
    from exporter.evaluation.classifier import Classifier
    from exporter.evaluation.comparing import Comparison
    from exporter.evaluation.dataset import listed
    from exporter.evaluation.thumbnails import thumbnails
    from exporter.progress import progress
    from exporter.report import comparison as page

    classifiers = [Classifier.of(path, named, trust) for path in paths]
    counts = sorted({classifier.classes for classifier in classifiers})
    if len(counts) > 1:
        raise EvaluationError(f"the artifacts have {' and '.join(map(str, counts))} classes: expected the same of all")
    if len(set(map(Path.resolve, paths))) < len(paths):
        raise EvaluationError("an artifact is named twice: expected different ones")
    page.require_writable(page_file)
    dataset = listed(images, labels, counts[0], limit, called(images))
    for text in dataset.warnings:
        warn(text)
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(evaluation.opened(classifier, dataset, cache, None, restart))
            for classifier in classifiers
        ]
        comparison = Comparison(runs, dataset, counts[0])
        todo = comparison.todo(batch_size)
        if comparison.done and todo:
            tell(f"evaluate: continuing after {comparison.done:,} of {comparison.total:,} answers")
        if todo:
            steps = 2 + sum(len(places) for _, _, places in todo)
            try:
                with progress("evaluate", steps) as listener:
                    comparison.run(batch_size, skip_broken, report(listener.step), engine)
            except (KeyboardInterrupt, SystemExit):
                tell("evaluate: stopped; run the same command to continue")
                raise
        result = comparison.result()
        if page_file:
            names = [picture["path"] for picture in page.chosen(result["disagreements"])]
            page.write(page_file, result, thumbnails(dataset, names))
    for classifier in classifiers:
        if classifier.synthetic:
            warn(f"{classifier.path} has SYNTHETIC weights, not published ones: its figures are meaningless")
    if as_json:
        print_json(result)
    else:
        print_text(_text(result))


def _text(result: dict[str, Any]) -> str:
    artifacts = result["artifacts"]
    dataset = artifacts[0]["dataset"]
    lines = [f"{counted(result['images'], 'image')} in {dataset['folder']} ({dataset['arrangement']})"]
    letters = {}
    for place, artifact in enumerate(artifacts):
        letters[artifact["artifact"]] = letter = chr(ord("A") + place)
        low, high = artifact["top_1"]["interval"]
        error = 100 * artifact["calibration"]["expected_calibration_error"]
        lines += [
            f"  {letter}  {artifact['artifact']}",
            f"     top-1 {artifact['top_1']['accuracy']:.2f} %, 95 % confidence {low:.2f} to {high:.2f}; "
            f"top-5 {artifact['top_5']['accuracy']:.2f} %; calibration off by {error:.2f} points",
        ]
    for pair in result["pairs"]:
        one, other = (letters[path] for path in pair["artifacts"])
        chance = pair["mcnemar"]["p_value"]
        verdict = "they differ" if chance < 0.05 else "they may be equally accurate"
        lines.append(
            f"  {one} and {other} give the same answer to {pair['agreement']:.2f} %; only {one} is right on "
            f"{pair['only_first_right']:,}, only {other} on {pair['only_second_right']:,}: McNemar's p {chance:.3g}, "
            f"{verdict}"
        )
    return joined(lines)
