"""A network's structure: a static list of named nodes in topological order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.operations import OPERATIONS

Shape = tuple[int, ...]
IMAGES = "images"
"""The name under which nodes read the network's input."""


@dataclass(frozen=True)
class Node:
    """One operation: what it is called, what it does, whose values it reads, its settings.

    Its parameters and buffers are called ``name.weight``, ``name.running_mean`` and so on.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    def __reduce__(self) -> tuple[type[Node], tuple[Any, ...]]:
        """For copies: a read-only mapping cannot be copied by itself."""
        return Node, (self.name, self.operation, self.inputs, dict(self.attributes))


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order; the value of the last one is the logits.

    Checked when made: every name once, every input known and earlier, every value read, every
    operation known, every shape fitting.  Raises InputError otherwise.
    """

    name: str
    input_shape: tuple[int, int, int]  # C, H, W
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if not self.nodes:
            raise InputError(f"network {self.name!r} has no nodes; expected at least one")
        known = {IMAGES}
        for node in self.nodes:
            if node.operation not in OPERATIONS:
                raise InputError(
                    f"node {node.name!r} has the unknown operation {node.operation!r}; "
                    f"expected one of {', '.join(OPERATIONS)}"
                )
            arity = OPERATIONS[node.operation].arity
            missing = [name for name in node.inputs if name not in known]
            if missing or node.name in known or len(node.inputs) != arity:
                raise InputError(
                    f"node {node.name!r} ({node.operation}) reads {node.inputs}; expected the "
                    f"names of {arity} earlier nodes and a name of its own"
                )
            known.add(node.name)
        unread = known - {name for node in self.nodes for name in node.inputs}
        if unread != {self.nodes[-1].name}:
            raise InputError(
                f"nobody reads {', '.join(sorted(unread - {self.nodes[-1].name}))} in network "
                f"{self.name!r}; expected only the last node's value to be left, the logits"
            )
        _ = self.shapes

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every value, without the batch: ``{"images": (3, 32, 32), ...}``."""
        shapes: dict[str, Shape] = {IMAGES: self.input_shape}
        for node in self.nodes:
            inputs = [shapes[name] for name in node.inputs]
            try:
                shapes[node.name] = OPERATIONS[node.operation].shape(inputs, node.attributes)
            except (KeyError, ValueError, TypeError, IndexError) as error:
                raise InputError(f"node {node.name!r} ({node.operation}): {error}") from error
        return shapes

    @cached_property
    def parameter_shapes(self) -> dict[str, Shape]:
        """Shapes of what is learned, by name, in the order of the nodes."""
        return self._stored("parameters")

    @cached_property
    def buffer_shapes(self) -> dict[str, Shape]:
        """Shapes of what is stored but not learned (running statistics, constants)."""
        return self._stored("buffers")

    @cached_property
    def prunable(self) -> tuple[str, ...]:
        """Names of the weights that pruning applies to (convention 14).

        The weight of every convolution and linear layer, first and last included, in the order of
        the nodes; never a bias, never batch norm.
        """
        return tuple(
            f"{node.name}.weight"
            for node in self.nodes
            if node.operation in ("convolution", "linear")
        )

    @property
    def classes(self) -> int:
        """The number of logits."""
        return self.shapes[self.nodes[-1].name][-1]

    def _stored(self, kind: str) -> dict[str, Shape]:
        return {
            f"{node.name}.{suffix}": shape
            for node in self.nodes
            for suffix, shape in getattr(OPERATIONS[node.operation], kind)(node.attributes).items()
        }


def macs(graph: Graph) -> dict[str, int]:
    """Multiply-accumulates for one image of every convolution and linear weight, by its name."""
    result = {}
    for node in graph.nodes:
        if node.operation in ("convolution", "linear"):
            weight = graph.parameter_shapes[f"{node.name}.weight"]
            out = graph.shapes[node.name]  # (K, P, Q) or (K,)
            per_output = 1
            for side in weight[1:]:
                per_output *= side
            outputs = 1
            for side in out:
                outputs *= side
            result[f"{node.name}.weight"] = per_output * outputs
    return result
