"""``nasexport.json``: what an artifact says of itself, beside the model."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

import exporter
from exporter.artifact.jobs import ReadCheckpoint
from exporter.artifact.options import ArtifactOptions
from exporter.checkpoint.source import Source
from exporter.errors import ArtifactError
from exporter.files.hashing import Sha256
from exporter.models.config import ModelConfig, Name, Task, handle
from exporter.models.formats import Format, Version
from exporter.validation import (
    MOST_JSON,
    NotNegative,
    at_least,
    convert,
    parse_json,
    read,
    require_schema,
    to_plain,
)

METADATA_FILE = "nasexport.json"
METADATA_SCHEMA: Literal[1] = 1


class Tool(msgspec.Struct, frozen=True):
    """The versions that wrote an artifact."""

    nasexport: str
    tensorflow: str


class CheckpointFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint that an artifact was made from.

    ``archive`` and ``archive_sha256`` are None where it lay on disk as such; ``files`` has the hash of each file.
    ``layout`` is how its variables are named, ``variables_from_averages`` the number of those whose moving average was
    taken. ``scope`` is what all its names lie below, such as ``module/``, and ``left_out`` counts what it holds besides
    the network, by the fields of `exporter.checkpoint.jobs.LeftOut`. ``synthetic`` says how made-up weights were made,
    and is None for all others.
    """

    archive: str | None
    archive_sha256: Sha256 | None
    files: dict[str, Sha256]
    layout: str
    synthetic: dict[str, Any] | None
    variables_from_averages: Annotated[int, at_least(0)]
    scope: str = ""
    left_out: dict[str, Annotated[int, at_least(0)]] = {}


class Verdict(msgspec.Struct, frozen=True):
    """A check without what was measured, which depends on the processor."""

    name: str
    tolerance: NotNegative
    passed: bool


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact says of itself; ``verification`` is None for one that was not verified when it was built.

    What a later nasexport says besides, under the same number of the schema, is passed over.
    """

    schema: Literal[1]
    tool: Tool
    handle: str
    model: ModelConfig
    task: Task
    version: Annotated[int, at_least(0)] | Name
    format: Format
    options: ArtifactOptions
    source: CheckpointFacts
    verification: tuple[Verdict, ...] | None

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        task: Task,
        version: Version,
        options: ArtifactOptions,
        source: Source,
        read: ReadCheckpoint,
    ) -> "Metadata":
        """That of an artifact before its verification; ``read`` is what was found in its checkpoint."""
        return cls(
            schema=METADATA_SCHEMA,
            tool=Tool(exporter.__version__, read.tensorflow),
            handle=handle(config, task, version),
            model=config,
            task=task,
            version=version,
            format=config.all_versions[version],
            options=options,
            source=CheckpointFacts(
                archive=source.archive,
                archive_sha256=source.archive_sha256,
                files=source.files,
                layout=read.layout,
                synthetic=read.synthetic,
                variables_from_averages=read.averages,
                scope=read.scope,
                left_out=asdict(read.left_out),
            ),
            verification=None,
        )

    def verified(self, verdicts: Iterable[Verdict] | None) -> "Metadata":
        """The same with what its verification found; None where there was none."""
        return msgspec.structs.replace(self, verification=None if verdicts is None else tuple(verdicts))


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Writes ``nasexport.json`` beside a model."""
    (folder / METADATA_FILE).write_bytes(encoded(metadata))


def encoded(metadata: Metadata) -> bytes:
    """The content of ``nasexport.json``: no time stamps, no paths, the same bytes for the same facts."""
    return (json.dumps(to_plain(metadata), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_metadata(folder: Path) -> Metadata | None:
    """What an artifact says of itself; None for one that nasexport did not write.

    Raises:
        ArtifactError: the file is there but damaged, or of a newer kind.
    """
    path = folder / METADATA_FILE
    if not path.is_file():
        return None

    def damaged(problem: str) -> ArtifactError:
        return ArtifactError(f"{path} is damaged: {problem}")

    try:
        values = parse_json(read(path, MOST_JSON, damaged), damaged)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    require_schema(values, METADATA_SCHEMA, lambda problem: ArtifactError(f"{path} {problem}"))
    return convert(values, Metadata, damaged)
