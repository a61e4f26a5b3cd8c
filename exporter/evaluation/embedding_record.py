"""What is written beside feature vectors: an index of their parts, and the record of what they came from."""

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import msgspec

import exporter
from exporter.artifact import folder
from exporter.errors import NOT_DONE, EvaluationError
from exporter.evaluation.classifier import Extractor
from exporter.evaluation.dataset import DataSet
from exporter.models.preprocessing import CENTRAL_FRACTION, INTERPOLATION
from exporter.validation import convert, parse_json

#: Incremented with every change of what is written, or of how images are preprocessed.
SCHEMA = 1
INDEX_FILE = "index.jsonl"
RECORD_FILE = "record.json"
#: The names of the parts.
PARTS = "part-*.npy"


class IndexLine(msgspec.Struct, frozen=True):
    """A line of the index: a part, in the order of the images, and what its rows are of.

    ``part`` is the name of a file of NumPy's, float32 [row, value], and ``sha256`` its hash. ``labels`` is None where
    none of its images has one.
    """

    part: str
    sha256: str
    paths: tuple[str, ...]
    labels: tuple[int | None, ...] | None


def record(
    extractor: Extractor,
    dataset: DataSet,
    batch_size: int,
    rows: int,
    width: int,
    broken: Sequence[Any],
    devices: Sequence[str],
) -> dict[str, Any]:
    """What feature vectors came from, as JSON values. It has no time and no machine: the same run writes the same."""
    spec = folder.require_artifact(extractor.path)
    made = extractor.metadata
    packages = ["numpy", *(package for _, package in spec.runtime)]
    packages.append("tensorflow" if extractor.decoder == "TensorFlow" else "pillow")
    return {
        **extractor.facts(),
        "handle": made.handle if made else None,
        "format": spec.name,
        "images": {
            "folder": dataset.named,
            "arrangement": dataset.arrangement,
            "count": len(dataset.items),
            "available": dataset.available,
        },
        "preprocessing": {
            "channels": "RGB",
            "range": [0, 1],
            "central_crop": CENTRAL_FRACTION,
            "resize": INTERPOLATION,
            "size": extractor.config.image_size if extractor.config else None,
            "decoder": extractor.decoder,
        },
        "batch_size": batch_size,
        "rows": rows,
        "width": width,
        "broken": list(broken),
        "devices": list(devices),
        "nasexport": exporter.__version__,
        "versions": {package: metadata.version(package) for package in sorted(set(packages))},
    }


class _Record(msgspec.Struct, frozen=True):
    """The start of a record: what identifies the run that wrote it."""

    schema: int
    identity: dict[str, Any]


def damaged(path: str) -> Callable[[str], EvaluationError]:
    """What makes an error of what is wrong with the record at a path."""
    return lambda problem: EvaluationError(
        f"{path} is damaged or is not the record of an embedding: {problem}\npass --restart to replace it"
    )


def unknown(output: str) -> EvaluationError:
    """The error where something lies in the place of an output without a record or a ledger."""
    return EvaluationError(
        f"{output} is there, and nothing says what is in it: pass --restart to replace it, or another --output",
        status=NOT_DONE,
    )


def require_own(content: bytes, path: str, output: str, identity: dict[str, Any]) -> dict[str, Any]:
    """What a record says, of the run with an identity.

    Args:
        path, output: where the record and the vectors are, for messages.

    Raises:
        EvaluationError: it is of another run, or is no record.
    """
    values = parse_json(content, damaged(path))
    found = convert(values, _Record, damaged(path))
    if found.schema != SCHEMA or found.identity != identity:
        keys = [key for key, value in identity.items() if found.identity.get(key) != value]
        raise EvaluationError(
            f"{output} belongs to another embedding (other {', '.join(keys) or 'schema'}): pass "
            f"--restart to replace it, or another --output"
        )
    return dict(values)
