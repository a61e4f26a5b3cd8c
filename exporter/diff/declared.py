"""What two artifacts say of themselves, compared: format, tag sets, signatures, variables and their values."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from exporter.artifact.jobs import Inspection, SignatureFacts, TensorFacts
from exporter.diff.comparison import SHOWN, Comparison, equal, largeness, listed, sets
from exporter.diff.jobs import ComparedFiles, VariableDifferences


def flat_signatures(facts: Inspection) -> dict[str, SignatureFacts]:
    return {
        f"{{{tags}}} {name}": signature for tags, named in facts.signatures.items() for name, signature in named.items()
    }


def of_files(files: ComparedFiles) -> Iterator[Comparison]:
    a, b = files.a, files.b
    yield equal("format", "format", a.format, b.format, a.format, b.format)
    sizes = [side.image_size for side in (a, b)]
    yield equal("format", "image size", sizes[0], sizes[1], str(sizes[0] or "?"), str(sizes[1] or "?"))
    sets = [sorted(side.tag_sets) for side in (a, b)]
    texts = [" ".join("{" + ", ".join(tags) + "}" for tags in side) for side in sets]
    yield equal("tag-sets", "tag sets", sets[0], sets[1], texts[0], texts[1])
    yield from _signatures(flat_signatures(a), flat_signatures(b))
    if files.variables is not None:
        yield from _variables(files.variables)


def _signatures(a: dict[str, SignatureFacts], b: dict[str, SignatureFacts]) -> Iterator[Comparison]:
    yield sets("signatures", "signatures by name", set(a), set(b))
    changed = []
    for name in [name for name in a if name in b]:
        sides = {
            "input": (a[name].inputs, b[name].inputs),
            "output": (a[name].outputs, b[name].outputs),
        }
        for side, (own, other) in sides.items():
            for key in sorted(own.keys() | other.keys()):
                if own.get(key) != other.get(key):
                    changed.append((f"{name} {side} {key}", own.get(key), other.get(key)))
    detail = "; ".join(f"{where} {_tensor_text(own)} | {_tensor_text(other)}" for where, own, other in changed[:SHOWN])
    detail += f"; {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    rows = [{"where": where, "a": own and asdict(own), "b": other and asdict(other)} for where, own, other in changed]
    yield Comparison("signatures", "inputs and outputs of signatures", not changed, detail, {"changed": rows})


def _tensor_text(tensor: TensorFacts | None) -> str:
    if tensor is None:
        return "absent"
    shape = "?" if tensor.shape is None else ", ".join("?" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.dtype} [{shape}]"


def _variables(found: VariableDifferences) -> Iterator[Comparison]:
    only = {"A": found.only_in_a, "B": found.only_in_b}
    parts = [f"{found.in_both} in both"]
    parts += [f"only in {side}: {listed(names)}" for side, names in only.items() if names]
    facts: dict[str, Any] = {
        "in_both": found.in_both,
        "only_in_a": list(found.only_in_a),
        "only_in_b": list(found.only_in_b),
    }
    yield Comparison("variables", "variables by name", not any(only.values()), "; ".join(parts), facts)

    kinds = found.kinds
    detail = f"{len(kinds)} differ, first: {kinds[0].name} {kinds[0].a} | {kinds[0].b}" if kinds else ""
    facts = {"differing": [asdict(each) for each in kinds]}
    yield Comparison("variables", "shapes and types of variables", not kinds, detail, facts)

    values = [asdict(each) for each in found.values]
    compared = found.in_both - len(kinds)
    detail = f"{compared}, bit for bit"
    facts = {"compared": compared, "differing": values}
    if values:
        detail = f"{len(values)} of {compared} differ, first: {_value(values[0])}"
        largest = max(values, key=largeness)
        facts["largest"] = largest
        if largest is not values[0]:
            detail += f"; largest: {_value(largest)}"
    yield Comparison("variables", "values of variables", not values, detail, facts)


def _value(row: dict[str, Any]) -> str:
    figures = [row["absolute_difference"], row["relative_difference"]]
    absolute, relative = ("no finite number" if figure is None else f"{figure:.3g}" for figure in figures)
    return f"{row['name']} by {absolute}, relative {relative}"
