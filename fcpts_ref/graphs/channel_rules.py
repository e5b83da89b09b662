"""Which channels an operation ties together, and which it keeps from being removed.

A removed channel counts as zero wherever it is read.  The rules follow that zero: batch norm and
biases lose their entries with the channel, ReLU maps 0 to 0, and a product with 0 is 0.  A channel
that reaches a convolution as another constant (sigmoid gives 1/2) is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.operations.operation import Channels
from fcpts_ref.layers.axes import array_axis

Tie = tuple[str, Channels, str, Channels]
Fixed = tuple[str, Channels, str]

ZERO_TO_ZERO = frozenset({
    "relu", "relu6", "leaky_relu", "tanh", "silu", "hard_swish", "gelu", "dropout",
    "max_pool", "average_pool", "global_average_pool", "mean", "subsample", "zero_pad", "concat",
    "slice", "flatten", "reshape", "transpose", "multiply_parameter", "add_parameter",
})  # fmt: skip
"""Operations that give 0 for 0 and need no more than sizes changed when they lose channels."""
OTHERS = frozenset({
    "convolution", "linear", "batch_norm", "add", "subtract", "multiply", "divide", "clip", "pad",
    "resize", "sigmoid", "hard_sigmoid", "softmax", "log_softmax",
})  # fmt: skip
"""The other operations that can lose channels."""


@dataclass
class ChannelRules:
    """ties: pairs of channels, each as value and channel numbers.  fixed: channels, and why."""

    ties: list[Tie] = field(default_factory=list)
    fixed: list[Fixed] = field(default_factory=list)


def mixes_inputs(node: Node) -> bool:
    """Whether every output channel is a weighted sum of all input channels."""
    if node.operation == "convolution":
        return bool(node.attributes["groups"] == 1)
    return node.operation == "linear"


def rules_of(graph: Graph) -> ChannelRules:
    """Return the ties and the fixed channels of a graph."""
    rules = ChannelRules()
    for name, shape in graph.inputs.items():
        rules.fixed.append((name, np.arange(shape[0]), "they are the network's input"))
    for value in graph.outputs.values():
        channels = np.arange(graph.shapes[value][0])
        rules.fixed.append((value, channels, "they are the network's output"))
    zero = {name: np.zeros(shape[0], np.bool_) for name, shape in graph.inputs.items()}
    for node in graph.nodes:
        _apply(graph, node, zero, rules)
        zero[node.name] = _zeros(graph, node, zero)
    return rules


def _apply(
    graph: Graph, node: Node, zero: dict[str, NDArray[np.bool_]], rules: ChannelRules
) -> None:
    """Add the rules of a node."""
    shapes = [graph.shapes[name] for name in node.inputs]
    if node.operation == "linear" and len(shapes[0]) > 1:
        _fix(graph, node, f"{node.name} reads tokens, whose features are not removed", rules)
        return
    if mixes_inputs(node):
        read = node.inputs[0]
        alive = np.flatnonzero(~zero[read])
        rules.fixed.append((read, alive, f"they are not 0 where {node.name} reads them"))
        return
    if node.operation == "convolution" and _depth(node) > 1:
        rules.ties += list(_whole_groups(node))
        return
    if node.operation not in ZERO_TO_ZERO | OTHERS or _strided(node, shapes[0]):
        _fix(graph, node, f"{node.operation} {node.name} cannot lose channels", rules)
        return
    carried = node.row.channels(shapes, node.attributes)
    for name, shape, channels in zip(node.inputs, shapes, carried, strict=True):
        if channels is None:
            why = f"{node.operation} {node.name} reads all of them together"
            rules.fixed.append((name, np.arange(shape[0]), why))
        elif shape[0] == 1 < len(channels) and node.operation != "convolution":
            why = f"{node.operation} {node.name} spreads the only one over several channels"
            rules.fixed.append((name, np.arange(1), why))
        else:
            at = np.flatnonzero(channels >= 0)
            rules.ties.append((node.name, at, name, channels[at]))


def _fix(graph: Graph, node: Node, why: str, rules: ChannelRules) -> None:
    for name in (*node.inputs, node.name):
        rules.fixed.append((name, np.arange(graph.shapes[name][0]), why))


def _depth(node: Node) -> int:
    """The input channels of each group of a convolution."""
    return int(node.attributes["in_channels"] // node.attributes["groups"])


def _whole_groups(node: Node) -> Iterator[Tie]:
    """Tie the inputs and the outputs of every group of a convolution to its first output."""
    G = node.attributes["groups"]
    for value, count in (
        (node.inputs[0], node.attributes["in_channels"]),
        (node.name, node.attributes["out_channels"]),
    ):
        first = np.arange(G) * (node.attributes["out_channels"] // G)
        yield node.name, np.repeat(first, count // G), value, np.arange(count)


def _strided(node: Node, shape: tuple[int, ...]) -> bool:
    """Whether it is a slice that takes every n-th channel."""
    along = node.operation == "slice" and array_axis(node.attributes["axis"], len(shape)) == 1
    return bool(along and node.attributes["step"] != 1)


def _zeros(graph: Graph, node: Node, zero: dict[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Which channels of a node's value are 0 once they are removed."""
    shapes = [graph.shapes[name] for name in node.inputs]
    count = graph.shapes[node.name][0]
    if node.operation in ("convolution", "linear", "batch_norm"):
        return np.ones(count, np.bool_)
    if node.operation not in ZERO_TO_ZERO | OTHERS or not _keeps_zero(node, shapes[0]):
        return np.zeros(count, np.bool_)
    carried = node.row.channels(shapes, node.attributes)
    inputs = [
        _carried_zeros(zero[name], channels, count)
        for name, channels in zip(node.inputs, carried, strict=True)
    ]
    if node.operation == "multiply":
        return np.asarray(np.logical_or.reduce(inputs))
    if node.operation == "divide":
        return inputs[0]
    return np.asarray(np.logical_and.reduce(inputs))


def _carried_zeros(
    zero: NDArray[np.bool_], channels: Channels | None, count: int
) -> NDArray[np.bool_]:
    """Which channels of a value are 0 because of one input; those it does not carry are."""
    if channels is None or len(zero) == 1 < count:
        return np.zeros(count, np.bool_)
    return np.asarray(np.where(channels >= 0, zero[channels], True))


def _keeps_zero(node: Node, shape: tuple[int, ...]) -> bool:
    a: Any = node.attributes
    if node.operation == "clip":
        return bool(a["low"] <= 0 <= a["high"])
    if node.operation == "pad":
        return bool(a["value"] == 0)
    if node.operation == "resize":
        return bool(a["extrapolation_value"] == 0)
    if node.operation == "add_parameter":  # its entries are removed with the channels
        return a["shape"][0] == shape[0] and len(a["shape"]) == len(shape)
    return node.operation not in ("sigmoid", "hard_sigmoid", "softmax", "log_softmax")
