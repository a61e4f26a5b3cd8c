"""Decides whether an artifact may be loaded: not if its graph can do more than compute, such as write a file."""

import pkgutil
from collections.abc import Sequence
from pathlib import Path

from exporter.artifact.folder import require_artifact
from exporter.errors import ArtifactError
from exporter.graph.refusal import Refusal


def require(folder: Path) -> None:
    """Refuses the artifact in ``folder`` if anything in it can do more than compute. Call it before loading it.

    Raises:
        ArtifactError: names the first such operation and its node, and says what it can do.
    """
    spec = require_artifact(folder)
    found: Sequence[Refusal] = pkgutil.resolve_name(spec.refused)(folder) if spec.refused else ()
    if found:
        more = f" (and {len(found) - 1:,} more: see nasexport inspect)" if len(found) > 1 else ""
        raise ArtifactError(
            f"{folder} was not loaded: {found[0]}{more}\n"
            f"--trust loads it all the same: right for what comes from those whom you would let run a program here"
        )
