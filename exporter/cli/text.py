"""The text that the commands print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.artifact.below import Found
from exporter.artifact.jobs import Inspection, VariablesFacts
from exporter.checkpoint.jobs import CheckpointDescription
from exporter.cli.verdicts import megabytes
from exporter.fetch.cache import Entry
from exporter.fetch.lock import locked_archives
from exporter.fetch.published import cached, synthetic_archives
from exporter.models import variables
from exporter.models.config import TASKS, ModelConfig
from exporter.settings import Settings
from exporter.terminal import counted, joined

if TYPE_CHECKING:
    # They import NumPy, which is a part of the time that `nasexport --help` takes.
    from exporter.diff.diff import Difference


#: Operations that `inspect` shows to people of those that are refused.
_SHOWN_REFUSED = 5


def models(settings: Settings, configs: Sequence[ModelConfig]) -> list[dict[str, Any]]:
    """One JSON-ready row for each model."""
    entries, made_up = cached(settings), synthetic_archives(settings)
    pins = {name: locked.sha256 for name, locked in locked_archives(settings.lock).items()}
    rows = []
    for config in configs:
        name = config.checkpoint or ""
        entry = entries.get(name)
        sha256 = entry.sha256 if entry else pins.get(name)
        rows.append(_model_row(config, entry, sha256 in made_up))
    return rows


def _model_row(config: ModelConfig, entry: Entry | None, synthetic: bool) -> dict[str, Any]:
    return {
        "name": config.name,
        "title": config.title,
        "published": config.published,
        "tasks": list(TASKS),
        "versions": [{"version": version, "format": format_} for version, format_ in config.all_versions.items()],
        "image_size": config.image_size,
        "features": variables.features(config),
        "classes": config.num_classes,
        "parameters": {task: variables.parameters(config, task) for task in TASKS},
        "accuracy": config.accuracy,
        "checkpoint": config.checkpoint,
        "cached": str(entry.path) if entry else None,
        "synthetic": synthetic,
    }


def models_text(rows: list[dict[str, Any]]) -> str:
    """A block of lines for each model."""
    return "\n\n".join(map(_model_text, rows))


def _model_text(row: dict[str, Any]) -> str:
    by_format: dict[str, list[str]] = {}
    for version in row["versions"]:
        by_format.setdefault(version["format"], []).append(str(version["version"]))
    accuracy = row["accuracy"] or {}
    lines = [
        f"{row['name']}: {row['title']}" + ("" if row["published"] else ", never published as a Hub model"),
        f"  tasks        {', '.join(row['tasks'])}",
        "  versions     "
        + "; ".join(
            name if versions == [name] else f"{', '.join(versions)} ({name})" for name, versions in by_format.items()
        ),
        f"  images       {row['image_size']} x {row['image_size']} pixels",
        f"  features     {row['features']}, classes {row['classes']}",
        "  parameters   " + ", ".join(f"{count:,} ({task})" for task, count in row["parameters"].items()),
        f"  accuracy     top-1 {accuracy['top_1']} %, top-5 {accuracy['top_5']} % as published" if accuracy else "",
        f"  checkpoint   {row['checkpoint']}, "
        + (f"cached at {row['cached']}" if row["cached"] else "not in the cache")
        + (", SYNTHETIC: made-up weights, not the published ones" if row["synthetic"] else ""),
    ]
    return joined(filter(None, lines))


def cache_text(facts: dict[str, Any]) -> str:
    """The contents of the cache: a block of lines for each archive, a line for each leftover, and the sum."""
    lines = [facts["folder"]]
    for row in facts["archives"]:
        lines += [
            f"  {row['name']}  {_megabytes(row['size'])}, {'SYNTHETIC, ' if row['synthetic'] else ''}"
            f"{'pinned' if row['pinned'] else 'not pinned'}, "
            + (f"unpacked {_megabytes(row['unpacked_size'])}" if row["unpacked_size"] else "not unpacked"),
            f"    sha256 {row['sha256']}",
            f"    from   {row.get('url', 'unknown')}",
        ]
    lines += [f"  copy of {row['address'] or row['path']}  {_megabytes(row['size'])}" for row in facts["copies"]]
    lines += [f"  unfinished output {row['path']}  {_megabytes(row['size'])}" for row in facts["outputs"]]
    lines += [f"  leftover {row['path']}  {_megabytes(row['size'])}" for row in facts["leftovers"]]
    return joined([*lines, f"  {counted(len(facts['archives']), 'archive')}, {_megabytes(facts['size'])} in all"])


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def difference_text(difference: Difference) -> str:
    """A line for each comparison, and the verdict."""
    differing = sum(not comparison.same for comparison in difference.comparisons)
    total = len(difference.comparisons)
    lines = [f"A {difference.a}", f"B {difference.b}"]
    lines += [f"  {comparison}" for comparison in difference.comparisons]
    lines += [f"  note {note}" for note in difference.notes]
    return joined([*lines, f"  {differing} of {total} differ" if differing else f"  all {total} are the same"])


def inspection_text(found: Inspection) -> str:
    """A summary of an artifact; ``--json`` prints all of it."""
    variables = found.variables
    lines = [
        found.path,
        f"  format       {found.format}" + (f", {found.handle}" if found.handle else ""),
        *(["  tag sets     " + _tag_sets_text(found)] if found.tag_sets else []),
        *_signature_lines(found),
        *(f"  function     {name}, traced {counted(count, 'time')}" for name, count in found.functions.items()),
        f"  variables    {variables.count}{_trainable_text(variables)}; {variables.parameters:,} parameters",
        f"  size         {found.bytes:,} bytes",
        f"  readers      {_readers_text(found)}",
        *_refused_lines(found),
        f"  written by   {_writer_text(found)}",
        *_source_lines(found.source),
    ]
    if found.verified is not None:
        lines.append("  verified     " + ("when it was built" if found.verified else "no: built with --no-verify"))
    return joined(lines)


def below_text(folder: Path, found: Sequence[Found]) -> str:
    """A line for each artifact below a folder."""
    paths = max(len(each.path) for each in found)
    formats = max(len(each.format) for each in found)
    lines = [f"{folder}: {counted(len(found), 'artifact')}, {megabytes(sum(each.bytes for each in found))}"]
    for each in found:
        facts = f"{each.format:<{formats}}  {megabytes(each.bytes):>9}  {_state_text(each)}"
        lines.append(f"  {each.path:<{paths}}  {facts}")
    return joined(lines)


def _state_text(found: Found) -> str:
    if found.problem:
        return found.problem
    if found.metadata is None:
        return "not written by nasexport"
    verified = "verified when it was built" if found.verified else "NOT verified"
    return verified + (", SYNTHETIC weights" if found.metadata.source.synthetic else "")


def _trainable_text(variables: VariablesFacts) -> str:
    """How many are trainable, where the files tell."""
    told = any(variable.trainable is not None for variable in variables.list)
    return f", {variables.trainable} trainable" if told or variables.trainable else ""


def _tag_sets_text(found: Inspection) -> str:
    return ", ".join("{" + ", ".join(tags) + "}" for tags in found.tag_sets)


def checkpoint_text(found: CheckpointDescription) -> str:
    """A summary of a checkpoint; ``--json`` prints all of it."""
    lines = [
        found.path,
        f"  format       checkpoint{', object-based' if found.object_based else ''}, in "
        + counted(len(found.files), "file"),
        f"  variables    {len(found.variables)}; {found.values:,} values",
        f"  size         {sum(found.files.values()):,} bytes",
    ]
    for network in found.networks:
        place = f" below {network.scope}" if network.scope else ""
        left_out = [f"{kind.replace('_', ' ')} {number}" for kind, number in asdict(network.left_out).items() if number]
        lines += [
            f"  network      {network.model}{place}: {', '.join(network.tasks)}",
            f"  layout       {network.layout}, {network.averages} of {network.variables} variables from averages",
            f"  left out     {', '.join(left_out) or 'nothing'}",
        ]
        if network.synthetic:
            made = ", ".join(f"{key} {value}" for key, value in sorted(network.synthetic.items()))
            lines.append(f"  source       SYNTHETIC checkpoint ({made}), not published weights")
    if not found.networks:
        lines.append(f"  network      {found.problem or 'none that nasexport knows: --model names another'}")
    return joined(lines)


def _signature_lines(found: Inspection) -> list[str]:
    lines = []
    for tags, named in found.signatures.items():
        for name, signature in named.items():
            sides = (
                ", ".join(f"{key} {tensor}" for key, tensor in side.items())
                for side in (signature.inputs, signature.outputs)
            )
            place = f"{{{tags}}} {name}" if found.tag_sets else name
            lines.append(f"  signature    {place}: " + " -> ".join(sides))
    return lines or ["  signatures   none"]


def _refused_lines(found: Inspection) -> list[str]:
    """What keeps an artifact from being loaded without ``--trust``; all of it is in JSON."""
    lines = [f"  refused      {refusal}" for refusal in found.refused[:_SHOWN_REFUSED]]
    if more := len(found.refused) - len(lines):
        lines.append(f"  refused      {counted(more, 'more operation')}")
    return lines


def _readers_text(found: Inspection) -> str:
    if found.readers:
        return found.readers
    if found.oldest_tensorflow:
        return f"TensorFlow {found.oldest_tensorflow} and newer"
    return f"newer than TensorFlow 1.15, for {counted(len(found.findings), 'reason')}; the first: {found.findings[0]}"


def _writer_text(found: Inspection) -> str:
    if tool := found.written_by:
        return f"nasexport {tool['nasexport']}, TensorFlow {tool['tensorflow']}"
    return "unknown" if found.readers else f"unknown, TensorFlow {found.tensorflow_version or 'unknown'}"


def _source_lines(source: dict[str, Any] | None) -> list[str]:
    if source is None:
        return ["  source       unknown"]
    lines = []
    if synthetic := source["synthetic"]:
        made = ", ".join(f"{key} {value}" for key, value in sorted(synthetic.items()))
        lines.append(f"  source       SYNTHETIC checkpoint ({made}), not published weights")
    if source["archive"]:
        lines.append(f"  source       {source['archive']} sha256 {source['archive_sha256']}")
    lines += [f"  source       {name} sha256 {digest}" for name, digest in sorted(source["files"].items())]
    lines.append(f"  layout       {source['layout']}, {source['variables_from_averages']} variables from averages")
    return lines
