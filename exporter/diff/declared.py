"""What two artifacts say of themselves, compared: format, tag sets, signatures, variables and their values."""

from collections.abc import Iterator
from typing import Any

from exporter.diff.comparison import SHOWN, Comparison, equal, largeness, listed, sets


def flat_signatures(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{{{tags}}} {name}": signature
        for tags, named in facts["signatures"].items()
        for name, signature in named.items()
    }


def of_files(files: dict[str, Any]) -> Iterator[Comparison]:
    a, b = files["a"], files["b"]
    yield equal("format", "format", a["format"], b["format"], a["format"], b["format"])
    sizes = [side["image_size"] for side in (a, b)]
    yield equal("format", "image size", sizes[0], sizes[1], str(sizes[0] or "?"), str(sizes[1] or "?"))
    sets = [sorted(side["tag_sets"]) for side in (a, b)]
    texts = [" ".join("{" + ", ".join(tags) + "}" for tags in side) for side in sets]
    yield equal("tag-sets", "tag sets", sets[0], sets[1], texts[0], texts[1])
    yield from _signatures(flat_signatures(a), flat_signatures(b))
    if "variables" in files:
        yield from _variables(files["variables"])


def _signatures(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Comparison]:
    yield sets("signatures", "signatures by name", set(a), set(b))
    changed = []
    for name in [name for name in a if name in b]:
        for side in ("inputs", "outputs"):
            own, other = a[name][side], b[name][side]
            for key in sorted(own.keys() | other.keys()):
                if own.get(key) != other.get(key):
                    where = f"{name} {side.removesuffix('s')} {key}"
                    changed.append({"where": where, "a": own.get(key), "b": other.get(key)})
    detail = "; ".join(f"{row['where']} {_tensor(row['a'])} | {_tensor(row['b'])}" for row in changed[:SHOWN])
    detail += f"; {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    yield Comparison("signatures", "inputs and outputs of signatures", not changed, detail, {"changed": changed})


def _tensor(tensor: dict[str, Any] | None) -> str:
    if tensor is None:
        return "absent"
    shape = (
        "?" if tensor["shape"] is None else ", ".join("?" if size is None else str(size) for size in tensor["shape"])
    )
    return f"{tensor['dtype']} [{shape}]"


def _variables(found: dict[str, Any]) -> Iterator[Comparison]:
    only = {side: found[f"only_in_{side}"] for side in ("a", "b")}
    parts = [f"{found['in_both']} in both"]
    parts += [f"only in {side.upper()}: {listed(names)}" for side, names in only.items() if names]
    facts = {key: found[key] for key in ("in_both", "only_in_a", "only_in_b")}
    yield Comparison("variables", "variables by name", not any(only.values()), "; ".join(parts), facts)

    shapes = found["shape"]
    detail = f"{len(shapes)} differ, first: {shapes[0]['name']} {shapes[0]['a']} | {shapes[0]['b']}" if shapes else ""
    yield Comparison("variables", "shapes and types of variables", not shapes, detail, {"differing": shapes})

    values = found["value"]
    compared = found["in_both"] - len(shapes)
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
