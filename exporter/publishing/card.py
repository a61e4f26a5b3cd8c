"""The page of a repository on a hub for models, ``README.md``: what is in it, by the records, and how to load it.

Its head is the metadata that the Hugging Face Hub reads, in YAML: https://huggingface.co/docs/hub/model-cards.
"""

from collections.abc import Sequence

import yaml

from exporter.models.config import ModelConfig
from exporter.models.formats import FORMATS
from exporter.release.claims import inputs_of
from exporter.release.manifest import Record
from exporter.release.model_page import FAMILY_TEXTS

CARD_FILE = "README.md"
#: The libraries that the hub knows, by our format; those of TensorFlow have the same name.
_LIBRARIES = {"keras": "keras", "timm": "timm", "pytorch": "pytorch", "onnx": "onnx", "litert": "litert"}


def card(records: Sequence[Record], name: str) -> str:
    """The page of a repository that has these artifacts.

    Args:
        name: ``OWNER/NAME`` of the repository.

    Raises:
        ReleaseError: a record has no configuration of a network.
    """
    configs = {record.model: inputs_of(record).config for record in records}
    head = yaml.safe_dump(_metadata(records, list(configs.values())), sort_keys=False, allow_unicode=True)
    titles = " and ".join(dict.fromkeys(config.title for config in configs.values()))
    lines = [
        "---",
        f"{head}---",
        f"# {titles}",
        "",
        f"{len(records)} verified artifacts, made by nasexport from checkpoints of {titles}.",
    ]
    if any(record.source.synthetic for record in records):
        lines += [
            "",
            "> **SYNTHETIC WEIGHTS.** Weights of these artifacts are made up and are not the published ones. Their",
            "> outputs are meaningless. Use them only to test programs.",
        ]
    lines += ["", "| artifact | format | bytes | checks |", "|---|---|--:|--:|"]
    for record in records:
        lines.append(
            f"| [{record.handle}]({record.place.page}) | {FORMATS[record.format].title} | {record.size:,} "
            f"| [{len(record.checks)}]({record.place.report}) |"
        )
    lines += [
        "",
        "The page of each artifact has programs that use it. This fetches one of them:",
        "",
        "```python",
        "from huggingface_hub import snapshot_download",
        "",
        f'handle = "{records[0].handle}"',
        f'folder = snapshot_download("{name}", allow_patterns=f"{{handle}}/*") + "/" + handle',
        "```",
        "",
        "`manifest.json` has the hash of every file, and `provenance.json` says what it was made of. git keeps no",
        "empty folders; unpacking each archive over its folder restores them. Then all but this page and",
        "`.gitattributes` is a release, which `nasexport release verify` checks.",
    ]
    return "\n".join(lines) + "\n"


def _metadata(records: Sequence[Record], configs: Sequence[ModelConfig]) -> dict[str, object]:
    """What the hub sorts and finds repositories by."""
    formats = sorted({record.format for record in records})
    libraries = list(dict.fromkeys(_LIBRARIES.get(name, "tensorflow") for name in formats))
    classifies = any(record.task == "classification" for record in records)
    families = [FAMILY_TEXTS[family].name.lower() for family in dict.fromkeys(config.family for config in configs)]
    synthetic = any(record.source.synthetic for record in records)
    found: dict[str, object] = {
        "license": "apache-2.0",
        "library_name": libraries[0] if len(libraries) == 1 else "tensorflow",
        "pipeline_tag": "image-classification" if classifies else "image-feature-extraction",
        "tags": [*families, *(name for name in libraries if len(libraries) > 1), "nasexport"],
    }
    if not synthetic and all(config.checkpoint for config in configs):
        found["datasets"] = ["ILSVRC/imagenet-1k"]
        if classifies and any(config.accuracy for config in configs):
            found["metrics"] = ["accuracy"]
    return found
