"""Which nodes of a graph run as one step, so that values pass through memory less often.

* batch_norm, then relu, relu6 or clip
* batch_norm, then add, then perhaps one of these: the join of a residual block
* subsample, then zero_pad: an option A shortcut
* three slices of one value, then attention: the slices are never copied

A value inside a group must have one reader only, the next node of the group.  A convolution whose
one reader is a batch norm stays a step of its own, for its output is needed in training, but
becomes the *producer* of the batch norm's group and moves right before it: the convolution then
computes the statistics, and in evaluation the two run as one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from fcpts_ref.graphs.graph import Graph, Node

ACTIVATIONS = ("relu", "relu6", "clip")
Readers = Mapping[str, tuple[Node, ...]]


@dataclass(frozen=True)
class Group:
    """Nodes that run as one step, in the place of the last one; none for the copy of an input.

    operation: of the first node; inputs: the values that the group reads (with a residual: the
    value that is normalised, then the residual); output: the name of the last node's value;
    producer: the convolution that makes the first input, if this group alone reads it, once.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    output: str
    producer: str | None = None

    @property
    def operation(self) -> str:
        return self.nodes[0].operation

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Attributes of the first node."""
        return self.nodes[0].attributes

    @property
    def activation(self) -> Node | None:
        """The relu, relu6 or clip at its end."""
        last = self.nodes[-1]
        return last if last.operation in ACTIVATIONS else None

    @property
    def has_residual(self) -> bool:
        """Whether a batch norm is followed by the addition of a residual."""
        return any(node.operation == "add" for node in self.nodes[1:])

    @property
    def padded(self) -> Node | None:
        """The zero_pad of a shortcut."""
        return next((node for node in self.nodes if node.operation == "zero_pad"), None)


def fuse(graph: Graph) -> list[Group]:
    """The groups of a graph in an order in which they can run."""
    outputs = set(graph.outputs.values())
    readers = {  # an output is read from outside, so no group may hide it
        name: () if name in outputs else nodes for name, nodes in graph.readers.items()
    }
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    groups: list[Group] = []
    taken: set[str] = set()
    for node in graph.nodes:
        if node.name in taken:
            continue
        group = _attention(node, graph, readers) or _grow(node, readers, taken, graph.shapes)
        taken |= {member.name for member in group.nodes}
        groups.append(group)
    groups.sort(key=lambda group: position[group.output])
    return _with_producers(groups, outputs)


def _with_producers(groups: list[Group], outputs: set[str]) -> list[Group]:
    """Every convolution whose one reader is a batch norm moves right before it."""
    uses = Counter([*outputs, *(name for group in groups for name in group.inputs)])
    made_by = {group.output: group for group in groups}
    producers: dict[str, Group] = {}  # by the output of the batch norm's group
    for group in groups:
        before = made_by.get(group.inputs[0]) if group.operation == "batch_norm" else None
        if before and before.operation == "convolution" and uses[before.output] == 1:
            producers[group.output] = before
    moved = {producer.output for producer in producers.values()}
    ordered = []
    for group in groups:
        if producer := producers.get(group.output):
            ordered += [producer, replace(group, producer=producer.output)]
        elif group.output not in moved:
            ordered.append(group)
    return ordered


def _attention(node: Node, graph: Graph, readers: Readers) -> Group | None:
    """The group of an attention whose inputs are slices of one value, this node among them.

    Its first node is the attention; each slice has only this reader, and they do not overlap.
    """
    only = readers[node.name]
    if node.operation != "slice" or len(only) != 1 or only[0].operation != "attention":
        return None
    attention, by_name = only[0], {one.name: one for one in graph.nodes}
    slices = [by_name.get(name) for name in attention.inputs]
    fits = [
        one
        for one in slices
        if one is not None
        and one.operation == "slice"
        and one.inputs == node.inputs
        and [reader.name for reader in readers[one.name]] == [attention.name]
        and _is_range(one, graph.shapes[one.inputs[0]])
    ]
    spans = sorted((one.attributes["start"], one.attributes["stop"]) for one in fits)
    apart = all(stop <= start for (_, stop), (start, _) in pairwise(spans))
    if len(fits) < len(slices) or not apart:
        return None
    return Group((attention, *fits), node.inputs, attention.name)


def _is_range(node: Node, shape: tuple[int, ...]) -> bool:
    """Whether a slice takes neighbouring features of tokens, counted from the first."""
    a = node.attributes
    last_axis = a["axis"] in (-1, len(shape) - 1) and len(shape) == 2
    return bool(last_axis and a["step"] == 1 and 0 <= a["start"] < a["stop"] <= shape[-1])


def _grow(
    node: Node, readers: Readers, taken: set[str], shapes: Mapping[str, tuple[int, ...]]
) -> Group:
    nodes, inputs = [node], list(node.inputs)
    if node.operation == "subsample":
        nodes += _next(nodes[-1], readers, ("zero_pad",))
    if node.operation == "batch_norm":
        for add in _next(node, readers, ("add",)):
            residuals = [name for name in add.inputs if name != node.name]
            same = len({shapes[name] for name in add.inputs}) == 1  # nothing is broadcast
            if add.name not in taken and len(residuals) == 1 and same:
                nodes.append(add)
                inputs += residuals
        nodes += _next(nodes[-1], readers, ACTIVATIONS)
    return Group(tuple(nodes), tuple(inputs), nodes[-1].name)


def _next(node: Node, readers: Readers, operations: tuple[str, ...]) -> list[Node]:
    """The one reader of a node's value, if it is one of these operations."""
    only = readers[node.name]
    return list(only) if len(only) == 1 and only[0].operation in operations else []
