"""Mistakes in convolution and linear layers: kernel, border, weight and bias."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.convolution import settings
from fcpts_ref.graphs.operations.operation import weight_and_bias
from fcpts_ref.layers.padding import ends
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import (
    Computed,
    Variants,
    gathered,
    places_of,
    rerun,
)
from fcpts_ref.oracle.mistakes.values import value_of


def convolution_variants(evidence: Evidence, node: Node) -> Variants:
    weight = evidence.stored[f"{node.name}.weight"]
    moves: dict[str, Callable[[Array], Array]] = {
        "kernel-flipped": lambda w: w[:, :, ::-1, ::-1],
        "kernel-mirrored": lambda w: w[:, :, :, ::-1],
        "kernel-transposed": lambda w: w.swapaxes(2, 3),
    }
    if weight.shape[2] != weight.shape[3]:
        del moves["kernel-transposed"]
    for name, move in moves.items():  # every move undoes itself
        yield name, partial(rerun, evidence, node, {"weight": move(weight)}, weight=move)
    yield (
        "kernel-centred",
        partial(rerun, evidence, node, {"weight": _centred(weight)}, weight=_centred),
    )
    yield from _weighted(evidence, node)
    yield from _borders(evidence, node)


def _centred(weight: Array) -> Array:
    """Subtract every filter's mean; its own adjoint."""
    return np.asarray(weight - weight.mean(axis=(1, 2, 3), keepdims=True))


def _borders(evidence: Evidence, node: Node) -> Variants:
    """Yield the convolution with other values in the padding."""
    padding = node.attributes["padding"]
    if not any(padding):
        return
    x, (vertical, horizontal) = value_of(evidence, node.inputs[0]), ends(padding)
    sides = ((0, 0), vertical, horizontal)
    for name, mode in (("reflects", "reflect"), ("wraps", "wrap"), ("repeats-edge", "edge")):
        yield f"convolution-{name}", partial(_moved, evidence, node, x, sides, mode)
    both = sum(vertical), sum(horizontal)
    for name, ends_of in (("at-end", lambda more: (0, more)), ("at-start", lambda more: (more, 0))):
        moved = ((0, 0), *map(ends_of, both))
        yield f"convolution-padding-{name}", partial(_moved, evidence, node, x, moved)
    nodes = evidence.setting.network.graph.nodes
    before = next((n for n in nodes if n.name == node.inputs[0]), None)
    if before is not None and before.operation == "normalise":
        yield (
            "padding-before-normalising",
            lambda: _padded(evidence, node, _normalised_border(evidence, before, x, sides)),
        )


def _moved(evidence: Evidence, node: Node, x: Array, sides: Any, mode: str = "") -> Computed:
    return _padded(evidence, node, gathered(x, bordered(x, sides, mode)))


def bordered(x: Array, sides: tuple[tuple[int, int], ...], mode: str) -> Array:
    """Return the place that every pixel of the padded image comes from, -1 for a 0."""
    if not mode:
        return np.pad(places_of(x), sides, constant_values=-1)
    return np.pad(places_of(x), sides, mode=mode)  # type: ignore[call-overload,no-any-return]


def _normalised_border(
    evidence: Evidence, before: Node, x: Array, sides: tuple[tuple[int, int], ...]
) -> Computed:
    """The input with zeros around it, normalised after padding."""
    mean, std = (evidence.stored[f"{before.name}.{name}"] for name in ("mean", "std"))
    inside = gathered(x, bordered(x, sides, ""))
    border = np.broadcast_to((-mean / std)[:, np.newaxis, np.newaxis], inside.value.shape[1:])
    outside = bordered(x, sides, "") < 0
    return Computed(np.where(outside, border, inside.value), inside.backward)


def _padded(evidence: Evidence, node: Node, padded: Computed) -> Computed:
    """The convolution of an image that has its border already."""
    weight, bias = evidence.stored[f"{node.name}.weight"], evidence.stored.get(f"{node.name}.bias")
    geometry = settings(node.attributes) | {"padding": 0}
    y, cache = layers.convolution_forward(padded.value, weight, bias, **geometry)

    def backward(dy: Array) -> tuple[list[Array], dict[str, Array]]:
        (dpadded,), dstored = weight_and_bias(*layers.convolution_backward(dy, cache))
        return list(padded.backward(dpadded)[0]), dstored

    return Computed(y, backward)


def linear_variants(evidence: Evidence, node: Node) -> Variants:
    weight = evidence.stored[f"{node.name}.weight"]
    if weight.shape[0] == weight.shape[1]:
        yield (
            "linear-transposed",
            lambda: rerun(evidence, node, {"weight": weight.T}, weight=lambda dw: dw.T),
        )
    yield from _weighted(evidence, node)


def _with_relu(evidence: Evidence, node: Node) -> Computed:
    right = rerun(evidence, node, {})
    return Computed(np.maximum(right.value, 0), lambda dy: right.backward(dy * (right.value > 0)))


def _weighted(evidence: Evidence, node: Node) -> Variants:
    yield "weighted-relu", partial(_with_relu, evidence, node)
    dense = evidence.state.parameters[f"{node.name}.weight"]
    sparse = evidence.stored[f"{node.name}.weight"]
    for through in (np.zeros_like, np.asarray):  # the masked weight is not used; or it is replaced
        yield "weight-dense", partial(rerun, evidence, node, {"weight": dense}, weight=through)
    yield (
        "weight-magnitude",
        lambda: rerun(
            evidence, node, {"weight": np.abs(sparse)}, weight=lambda dw: dw * np.sign(sparse)
        ),
    )
    bias = evidence.stored.get(f"{node.name}.bias")
    if bias is not None:
        for name, factor in (("missing", 0.0), ("twice", 2.0), ("subtracted", -1.0)):
            scale = partial(np.multiply, factor)
            yield f"bias-{name}", partial(rerun, evidence, node, {"bias": scale(bias)}, bias=scale)
