"""What the files of an artifact or a checkpoint tell."""

import dataclasses
from dataclasses import dataclass

from exporter.artifact.jobs import Inspection
from exporter.checkpoint import jobs as checkpoint_jobs
from nasexport import _html


@dataclass(frozen=True, repr=False)
class ArtifactDescription(Inspection):
    __doc__ = Inspection.__doc__

    @classmethod
    def of(cls, found: Inspection) -> "ArtifactDescription":
        return cls(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})

    def __repr__(self) -> str:
        name = f"{self.handle}, " if self.handle else ""
        facts = f"{self.format}, {self.variables.count:,} variables, {self.variables.parameters:,} parameters"
        return f"<ArtifactDescription of {self.path!r}: {name}{facts}, {self.bytes:,} bytes>"

    def _repr_html_(self) -> str:
        signatures = [
            (f"signature {name}", ", ".join(f"{key} {facts}" for key, facts in signature.outputs.items()))
            for named in self.signatures.values()
            for name, signature in named.items()
        ]
        rows: list[tuple[str, object]] = [
            ("format", self.format),
            ("handle", self.handle),
            ("image size", self.image_size),
            ("variables", f"{self.variables.count:,}"),
            ("parameters", f"{self.variables.parameters:,}"),
            ("size", f"{self.bytes:,} bytes"),
            *signatures,
            ("refused", f"{len(self.refused):,} operations" if self.refused else "nothing"),
            ("weights", "SYNTHETIC" if (self.source or {}).get("synthetic") else (self.source or {}).get("archive")),
        ]
        return _html.facts(self.path, rows)


@dataclass(frozen=True, repr=False)
class CheckpointDescription(checkpoint_jobs.CheckpointDescription):
    __doc__ = checkpoint_jobs.CheckpointDescription.__doc__

    @classmethod
    def of(cls, found: checkpoint_jobs.CheckpointDescription) -> "CheckpointDescription":
        return cls(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})

    def _network(self) -> str:
        return ", ".join(network.model for network in self.networks) or self.problem or "none that nasexport knows"

    def __repr__(self) -> str:
        return f"<CheckpointDescription of {self.path!r}: {len(self.variables):,} variables, network {self._network()}>"

    def _repr_html_(self) -> str:
        rows: list[tuple[str, object]] = [
            ("network", self._network()),
            ("variables", f"{len(self.variables):,}"),
            ("values", f"{self.values:,}"),
            ("size", f"{sum(self.files.values()):,} bytes"),
        ]
        return _html.facts(self.path, rows)
