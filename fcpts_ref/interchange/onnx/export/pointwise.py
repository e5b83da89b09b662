"""Activations, arithmetic, softmax, products and attention, as ONNX operators."""

from __future__ import annotations

import math
from collections.abc import Callable

from fcpts_ref.graphs.graph import Node
from fcpts_ref.interchange.onnx.export.builder import Builder

Emit = Callable[[Builder, Node], None]


def same(kind: str, **settings: str) -> Emit:
    """An operator of the same shape; settings: the operator's = our attribute."""

    def emit(b: Builder, node: Node) -> None:
        given = {theirs: node.attributes[ours] for theirs, ours in settings.items()}
        b.add(kind, node.inputs, node.name, **given)

    return emit


def relu6(b: Builder, node: Node) -> None:
    """Clip."""
    _clip(b, node, 0.0, 6.0)


def clip(b: Builder, node: Node) -> None:
    """Clip."""
    _clip(b, node, node.attributes["low"], node.attributes["high"])


def _clip(b: Builder, node: Node, low: float, high: float) -> None:
    bounds = [b.number(f"{node.name}.low", low), b.number(f"{node.name}.high", high)]
    b.add("Clip", [*node.inputs, *bounds], node.name)


def silu(b: Builder, node: Node) -> None:
    """Sigmoid and Mul."""
    gate = b.add("Sigmoid", node.inputs, f"{node.name}.gate")
    b.add("Mul", [*node.inputs, gate], node.name)


def gelu(b: Builder, node: Node) -> None:
    """Its formula: the operator Gelu is younger than many programs."""
    x, name = node.inputs[0], node.name
    if node.attributes["approximate"] == "tanh":
        square = b.add("Mul", [x, x], f"{name}.square")
        cube = b.add("Mul", [square, x], f"{name}.cube")
        cubic = b.add("Mul", [cube, b.number(f"{name}.cubic_factor", 0.044715)], f"{name}.cubic")
        total = b.add("Add", [x, cubic], f"{name}.sum")
        factor = b.number(f"{name}.factor", math.sqrt(2 / math.pi))
        inner = b.add("Tanh", [b.add("Mul", [total, factor], f"{name}.scaled")], f"{name}.tanh")
    else:
        factor = b.number(f"{name}.factor", math.sqrt(2))
        inner = b.add("Erf", [b.add("Div", [x, factor], f"{name}.scaled")], f"{name}.erf")
    gate = b.add("Add", [inner, b.number(f"{name}.one", 1.0)], f"{name}.gate")
    twice = b.add("Mul", [x, gate], f"{name}.twice")
    b.add("Mul", [twice, b.number(f"{name}.half", 0.5)], name)


def arithmetic(kind: str) -> Emit:
    """An operator of two values, broadcast after the batch."""

    def emit(b: Builder, node: Node) -> None:
        b.add(kind, b.aligned(node, max(map(b.rank, node.inputs))), node.name)

    return emit


def softmax(kind: str) -> Emit:
    """Softmax or LogSoftmax."""

    def emit(b: Builder, node: Node) -> None:
        axis = node.attributes["axis"]
        b.add(kind, node.inputs, node.name, axis=axis + 1 if axis >= 0 else axis)

    return emit


def attention(b: Builder, node: Node) -> None:
    """Its formula: heads beside the batch, two products and a softmax."""
    name, H = node.name, node.attributes["heads"]
    q, k, v = (
        _heads(b, value, f"{name}.{letter}", H, (0, 2, 3, 1) if letter == "k" else (0, 2, 1, 3))
        for value, letter in zip(node.inputs, "qkv", strict=True)
    )
    T, D = b.graph.shapes[node.name]
    width = b.graph.shapes[node.inputs[0]][1] // H
    scale = b.number(f"{name}.scale", 1 / math.sqrt(width))
    scores = b.add("MatMul", [b.add("Mul", [q, scale], f"{name}.q_scaled"), k], f"{name}.scores")
    weights = b.add("Softmax", [scores], f"{name}.weights", axis=-1)
    y = b.add("MatMul", [weights, v], f"{name}.values")
    y = b.add("Transpose", [y], f"{name}.merged", perm=[0, 2, 1, 3])
    b.add("Reshape", [y, b.constant(f"{name}.shape", [0, T, D])], name)


def _heads(b: Builder, value: str, stem: str, heads: int, order: tuple[int, ...]) -> str:
    T, D = b.graph.shapes[value]
    shape = b.constant(f"{stem}.shape", [0, T, heads, D // heads])
    split = b.add("Reshape", [value, shape], f"{stem}.heads")
    return b.add("Transpose", [split], stem, perm=order)
