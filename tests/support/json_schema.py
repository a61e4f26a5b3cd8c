"""The schema of manifests and records that ships, as a judge of JSON values."""

import functools
import json
from typing import Any, Literal

import jsonschema

from exporter.resources import resource


@functools.cache
def _validator(part: str) -> Any:
    schema = json.loads(resource("data/manifest.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    own = {"$schema": schema["$schema"], "$ref": "#/$defs/record", "$defs": schema["$defs"]}
    return jsonschema.Draft202012Validator(own if part == "record" else schema)


def problems(value: Any, part: Literal["manifest", "record"]) -> list[str]:
    """What is wrong with a value; nothing where it fits the schema."""
    return [f"{error.json_path}: {error.message}" for error in _validator(part).iter_errors(value)]
