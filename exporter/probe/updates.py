"""What moves the averages of batch norms in training, run by itself: by another momentum, without the network again."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from exporter.probe import eager
from exporter.probe.eager import GraphOnlyError
from exporter.probe.reuse import source

#: How an operation makes a variable's next value of its present one and of what it takes.
_ASSIGNED = {
    "AssignVariableOp": lambda present, taken: taken,
    "AssignAddVariableOp": lambda present, taken: present + taken,
    "AssignSubVariableOp": lambda present, taken: present - taken,
}
_BATCH_NORMS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
#: Which outputs of these are mean and variance of the batch.
_STATISTICS = ("1", "2")
_READING = frozenset({"ReadVariableOp"})


class Updates:
    """The operations of a graph that assign to moving averages.

    ``statistics`` has by the name of each variable that is moved the tensor that it is moved towards, the mean or the
    variance of a batch, as ``scope/operation:1``.
    """

    def __init__(self, graph_def: Any, operations: Iterable[str], variables: Mapping[str, str], momenta: Iterable[str]):
        """Looks at them.

        Args:
            graph_def: a ``GraphDef``.
            operations: the names of those that assign, each to a variable of its own.
            variables: by the names of nodes that stand for variables, the variable's name.
            momenta: the names of nodes that take a momentum.

        Raises:
            GraphOnlyError: something assigns in another way, or what it assigns depends on more than that tensor, the
                variable and the momentum.
        """
        self._graph_def = graph_def
        nodes = {node.name: node for node in graph_def.node}
        self._assignments: dict[str, Any] = {}
        for name in operations:
            node = nodes.get(name)
            variable = variables.get(source(node.input[0])) if node is not None and node.op in _ASSIGNED else None
            if variable is None or variable in self._assignments:
                raise GraphOnlyError(f"{name} does not move one average alone")
            self._assignments[variable] = node
        self.statistics = {name: _statistic(nodes, node) for name, node in self._assignments.items()}
        if len(set(self.statistics.values())) != len(self.statistics):
            raise GraphOnlyError("two averages are moved towards the same")
        self._taken = [node.input[1] for node in self._assignments.values()]
        eager.require_runnable(graph_def, self._taken, [*self.statistics.values(), *variables, *momenta])

    def moved(self, given: Mapping[str, Any], batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The values of the variables after a step.

        Args:
            given: the values of the nodes that stand for variables or take a momentum, as tensors.
            batch: by the name of each variable, the value of its tensor in ``statistics``.
        """
        given = {**given, **{tensor: tf.constant(batch[name]) for name, tensor in self.statistics.items()}}
        pairs = zip(self._assignments.items(), eager.run(self._graph_def, self._taken, given), strict=True)
        return {
            name: np.asarray(_ASSIGNED[node.op](given[source(node.input[0])], taken)) for (name, node), taken in pairs
        }


def assigning(graph_def: Any, variables: Mapping[str, str]) -> list[str]:
    """The names of the operations of a function's graph that take a variable and do more than to read it."""
    return [
        node.name
        for node in graph_def.node
        if node.op not in _READING and any(source(tensor) in variables for tensor in node.input)
    ]


def _statistic(nodes: Mapping[str, Any], assignment: Any) -> str:
    """The one tensor of statistics of a batch that an operation's value depends on."""
    found, seen, waiting = set(), set(), [assignment.input[1]]
    while waiting:
        tensor = waiting.pop()
        name, _, output = tensor.removeprefix("^").partition(":")
        if tensor in seen or name not in nodes:
            continue
        seen.add(tensor)
        if nodes[name].op not in _BATCH_NORMS:
            waiting += nodes[name].input
        elif output in _STATISTICS:
            found.add(tensor)
        else:
            raise GraphOnlyError(f"{assignment.name} depends on what a batch norm gives")
    if len(found) != 1:
        raise GraphOnlyError(f"{assignment.name} depends on {len(found)} statistics of a batch")
    return found.pop()
