"""What a record says of its artifact, held against itself: everything in it follows from its handle, its inputs, its
source and what was measured.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.jobs import LAYOUTS
from exporter.errors import ReleaseError
from exporter.files.archive import MAX_UNPACKED_BYTES
from exporter.models import variables
from exporter.models.config import TASKS, ModelConfig, handle, models
from exporter.models.formats import FORMATS
from exporter.models.preprocessing import labels
from exporter.release import identity, names
from exporter.release.identity import CheckpointFiles, Inputs
from exporter.release.manifest import Place, Record
from exporter.validation import shown, to_plain
from exporter.verification.results import Check


def inputs_of(record: Record) -> Inputs:
    """The inputs of a record, by type.

    Raises:
        ReleaseError: they are not what a release writes.
    """
    return Inputs.of(record.inputs, lambda problem: ReleaseError(f"{record.handle}: inputs: {problem}"))


def problems(record: Record) -> Iterator[str]:
    """Where a record contradicts itself, or the model that it names."""
    try:
        inputs = inputs_of(record)
    except ReleaseError as error:
        yield str(error)
        return
    for problem in (*_handle(record, inputs), *_inputs(record, inputs), *_source(record, inputs), *_checks(record)):
        yield f"{record.handle}: {problem}"
    yield from _paths(record, labelled=labels(inputs.config, record.task) is not None)
    if (size := record.size + sum(file.size for file in record.all_files)) > 3 * MAX_UNPACKED_BYTES:
        yield f"{record.handle}: its files have {size:,} bytes, more than any artifact"
    if record.size < (least := _least(inputs.config, record)):
        yield f"{record.handle}: its files have {record.size:,} bytes, expected the {least:,} of its weights and more"


def _least(config: ModelConfig, record: Record) -> int:
    """The bytes of the weights that an artifact of any format has, in float32."""
    every = not FORMATS[record.format].folds_batch_norms
    return 4 * sum(spec.size for spec in variables.variables(config, record.task) if every or spec.is_kernel)


def contradictions(records: Iterable[Record]) -> Iterator[str]:
    """Where records say different things of one model."""
    configs: dict[str, tuple[str, Any]] = {}
    for record in records:
        config = record.inputs.get("config")
        first, known = configs.setdefault(record.model, (record.handle, config))
        if config != known:
            yield f"{record.handle} and {first} have different configurations of {record.model}"


def _handle(record: Record, inputs: Inputs) -> Iterator[str]:
    config = inputs.config
    known = models().get(config.name, config)
    if config != known:
        own, right = to_plain(config), to_plain(known)
        yield f"another {', '.join(name for name in own if own[name] != right[name])} than {config.name} has"
    if record.version not in config.all_versions:
        have = ", ".join(map(str, config.all_versions))
        yield f"version is {record.version}, expected one of {have}, which {config.name} has"
        return
    if record.handle != handle(config, record.task, record.version):
        yield f"it says that it is {config.name}, {record.task}, version {record.version}"
    if record.model != config.name:
        yield f"model is {record.model}, expected {config.name}"
    if record.format != config.all_versions[record.version]:
        yield f"format is {record.format}, expected {config.all_versions[record.version]}"
    right = ArtifactOptions(config.version_spec(record.version).momentum)
    for name in right.__struct_fields__:
        own, expected = getattr(record.options, name), getattr(right, name)
        if own != expected:
            yield f"{name} is {own}, expected {expected}"


def _inputs(record: Record, inputs: Inputs) -> Iterator[str]:
    source = record.source
    wanted: dict[str, Any] = {
        "task": record.task,
        "version": record.version,
        "options": record.options,
        "checkpoint": CheckpointFiles(source.archive, source.archive_sha256, source.files),
    }
    for name, value in wanted.items():
        if getattr(inputs, name) != value:
            yield f"inputs.{name} is {shown(to_plain(getattr(inputs, name)))}, expected {shown(to_plain(value))}"
    own = identity.shipped_reference(source.files)
    if own and inputs.reference != own:
        yield f"inputs.reference is {shown(inputs.reference)}, expected {shown(own)}, of that which ships"
    if identity.as_json(inputs) != record.inputs:
        yield "inputs has fields that no release writes"
    elif identity.identity(record.inputs) != record.identity:
        yield f"identity is {record.identity}, expected the sha256 of inputs, {identity.identity(record.inputs)}"


def _source(record: Record, inputs: Inputs) -> Iterator[str]:
    source = record.source
    if (source.archive is None) != (source.archive_sha256 is None):
        yield "source has an archive without its hash, or a hash without an archive"
    if not source.files:
        yield "source.files is empty"
    for name in (*source.files, *([source.archive] if source.archive is not None else [])):
        if not name or not name.isprintable() or "/" in name or "\\" in name:
            yield f"source has the file {shown(name)}, expected a name"
    if source.layout not in LAYOUTS:
        yield f"source.layout is {shown(source.layout)}, expected {' or '.join(map(repr, LAYOUTS))}"
    most = len(variables.variables(inputs.config, TASKS[0]))
    if source.variables_from_averages > (0 if source.layout == "plain" else most):
        yield f"source.variables_from_averages is {source.variables_from_averages}, of {most} variables"
    if source.synthetic is not None and not source.synthetic:
        yield "source.synthetic is empty, expected how the weights were made, or null"


def _checks(record: Record) -> Iterator[str]:
    seen = set()
    for check in record.checks:
        figure = float("nan") if check.figure is None else check.figure
        if check.passed != Check(check.name, figure, check.tolerance).passed:
            yield f"the check {shown(check.name)} says passed: {str(check.passed).lower()}, and its figure the contrary"
        elif not check.passed:
            yield f"the check {shown(check.name)} did not pass"
        if check.name in seen:
            yield f"the check {shown(check.name)} is there twice"
        seen.add(check.name)


def _paths(record: Record, *, labelled: bool) -> Iterator[str]:
    place = Place(record.handle)
    files = names.artifact_files(place.folder, record.format, labelled=labelled)
    found = [file.path for file in record.files]
    if found != files:
        wrong = next((path for path in found if path not in files), None)
        more = f"lists {shown(wrong)}" if wrong else f"lists {len(found)} files in another order or not all"
        yield f"{record.handle}: it {more}, expected {', '.join(path.removeprefix(place.folder) for path in files)}"
    for name in ("archive", "page", "page_html", "report"):
        path, wanted = getattr(record, name).path, getattr(place, name)
        if path != wanted:
            yield f"{record.handle}: {name} is {shown(path)}, expected {shown(wanted)}"
