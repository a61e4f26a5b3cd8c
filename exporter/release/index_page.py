"""The start page of a release: its models, its artifacts, and how to load one.

Its links are relative, so it works from a folder and from any server. The same records give the same bytes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from exporter.models import variables
from exporter.models.config import TASKS, ModelConfig
from exporter.models.formats import DEFAULT_FORMAT, FORMATS, in_order
from exporter.release import address
from exporter.release.manifest import LABELS_FILE, MANIFEST_FILE, PROVENANCE_FILE, SUMS_FILE, Record
from exporter.report import templates


def page(records: Iterable[Record], configs: Mapping[str, ModelConfig], tool: str) -> str:
    """``index.html`` of a release.

    Args:
        records: all its artifacts, in any order.
        configs: the networks by name, in the order of the page; those without artifacts are left out.
        tool: nasexport's version.

    Raises:
        KeyError: a record is of a model that is not in ``configs``.
    """
    records = list(records)
    order = in_order({record.version for record in records})
    by_model: dict[str, list[Record]] = {name: [] for name in configs}
    for record in sorted(records, key=lambda record: (TASKS.index(record.task), order.index(record.version))):
        by_model[record.model].append(record)
    shown = [record for own in by_model.values() for record in own]
    # For each format, one artifact of the newest version; the first one is shown until another is chosen.
    examples = [
        max((record for record in shown if record.format == name), key=lambda r: order.index(r.version), default=None)
        for name in sorted(FORMATS, key=lambda name: name != DEFAULT_FORMAT)
    ]
    base_url = next((record.page_links.base_url for record in shown), None)
    return templates.html(
        "index.html",
        hub=base_url or address.DEFAULT,
        base_url=base_url,
        suffix=".tar.gz" if base_url else "",
        sections=[_section(configs[name], own) for name, own in by_model.items() if own],
        artifacts=len(shown),
        size=sum(record.archive.size for record in shown),
        synthetic=sum(record.source.synthetic is not None for record in shown),
        examples=[record for record in examples if record is not None],
        models=[(name, configs[name].title) for name, own in by_model.items() if own],
        tasks=[(task, task.replace("_", " ")) for task in TASKS],
        filters=[(name, spec.title) for name, spec in FORMATS.items() if any(r.format == name for r in shown)],
        frameworks={name: spec.framework for name, spec in FORMATS.items()},
        formats={name: spec.title for name, spec in FORMATS.items()},
        programs={name: spec.example for name, spec in FORMATS.items()},
        manifest=MANIFEST_FILE,
        labels=LABELS_FILE,
        sums=SUMS_FILE,
        provenance=PROVENANCE_FILE,
        tool=tool,
    )


def _section(config: ModelConfig, records: list[Record]) -> dict[str, Any]:
    accuracy = config.accuracy or {}
    facts = {
        "Images": f"{config.image_size} x {config.image_size} pixels, RGB from 0 to 1",
        "Outputs": f"{config.num_classes} logits or {variables.features(config)} features",
        "Parameters": ", ".join(f"{variables.parameters(config, task):,} ({task})" for task in TASKS),
        "Published accuracy": ", ".join(f"{name.replace('_', '-')} {value} %" for name, value in accuracy.items()),
        "Checkpoint": config.checkpoint or "",
    }
    return {
        "name": config.name,
        "title": config.title,
        "facts": {label: fact for label, fact in facts.items() if fact},
        "records": records,
    }
