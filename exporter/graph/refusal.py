"""The record of something in a SavedModel that can do more than compute. This module does not import TensorFlow."""

from dataclasses import dataclass

from exporter.validation import shown


@dataclass(frozen=True)
class Refusal:
    """Something in a SavedModel that can do more than compute.

    ``tags`` are those of its MetaGraph, sorted. ``function`` is "" if the node is in the MetaGraph's own graph.
    ``operation`` is "" for an asset file; ``node`` is then its path. ``does`` says what it can do, as the end of a
    sentence.
    """

    tags: tuple[str, ...]
    function: str
    node: str
    operation: str
    does: str

    def __str__(self) -> str:
        if not self.operation:
            return f"{shown(self.node)} {self.does}"
        operation = self.operation if self.operation.isidentifier() else shown(self.operation)
        place = f"node {shown(self.node)}" + (f" of function {shown(self.function)}" if self.function else "")
        return f"{operation[:80]} ({place}) {self.does}"
