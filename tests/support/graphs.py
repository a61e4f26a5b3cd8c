"""SavedModels made of nothing but protobufs: graphs and functions of any operations, for what reads without loading."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from exporter.graph.operations import kinds

#: What operations of every kind are named, and what none is.
COMPUTING = sorted(name for name, kind in kinds().items() if kind == "computes")
OTHERS = sorted(name for name, kind in kinds().items() if kind != "computes")
UNHEARD_OF = ("NasexportMadeUp", "Evil>Op", "xla\x1b[2J")


@dataclass
class Nodes:
    """A graph or a function to be, and where it is: ``function`` is "" for a graph."""

    tags: tuple[str, ...]
    function: str
    nodes: Any

    def add(self, name: str, op: str, inputs: Iterable[str] = ()) -> Any:
        """Adds a node, before or after the others."""
        return self.nodes.add(name=name, op=op, input=inputs)


@dataclass
class Made:
    """A SavedModel, and the graphs and functions that it has."""

    saved_model: saved_model_pb2.SavedModel
    places: list[Nodes] = field(default_factory=list)


#: Attributes that call functions, one or several.
CALLING = (("PartitionedCall", "f"), ("StatefulPartitionedCall", "f"), ("While", "body"), ("If", "else_branch"))


def call(node: Any, functions: Sequence[str], attribute: str = "f") -> None:
    """Has a node call functions: one by a function's attribute, several by a list of them."""
    if len(functions) == 1:
        node.attr[attribute].func.name = functions[0]
    else:
        for name in functions:
            node.attr[attribute].list.func.add(name=name)


@st.composite
def saved_models(draw: st.DrawFn) -> Made:
    """SavedModels of operations that only compute, in up to three MetaGraphs with up to four functions each.

    Functions call each other in a chain; nodes depend on nodes before them.
    """
    made = Made(saved_model_pb2.SavedModel(saved_model_schema_version=1))
    for number in range(draw(st.integers(1, 3))):
        meta_graph = made.saved_model.meta_graphs.add()
        tags = ("serve", f"tag_{number}")
        meta_graph.meta_info_def.tags.extend(tags)
        functions = [f"function_{number}_{place}" for place in range(draw(st.integers(0, 4)))]
        places = [Nodes(tags, "", meta_graph.graph_def.node)]
        for name in functions:
            function = meta_graph.graph_def.library.function.add()
            function.signature.name = name
            places.append(Nodes(tags, name, function.node_def))
        for depth, place in enumerate(places):
            names: list[str] = []
            for index, op in enumerate(draw(st.lists(st.sampled_from(COMPUTING), max_size=5))):
                inputs = draw(st.lists(st.sampled_from(names), max_size=2)) if names else []
                names.append(f"node_{index}")
                place.add(names[-1], op, inputs)
            if depth < len(functions):
                op, attribute = draw(st.sampled_from(CALLING))
                call(place.add("call", op), functions[depth : depth + draw(st.integers(1, 2))], attribute)
        if draw(st.booleans()):
            meta_graph.signature_def["serving_default"].outputs["output"].name = "node_0:0"
        made.places += places
    return made
