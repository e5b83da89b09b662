"""Mistakes in the forward pass: every node but batch norm, computed with each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.convolution import settings
from fcpts_ref.graphs.operations.operation import weight_and_bias
from fcpts_ref.graphs.operations.pooling import windows_of
from fcpts_ref.layers.padding import ends
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.activations import relu_variants
from fcpts_ref.oracle.mistakes.computed import (
    Computed,
    Variants,
    gathered,
    layer,
    places_of,
    pointwise,
    rerun,
)
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.oracle.mistakes.normalisation import batch_norm_variants, input_variants
from fcpts_ref.oracle.mistakes.values import value_of, window_of


def _convolution(evidence: Evidence, node: Node) -> Variants:
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
    return _padded(evidence, node, gathered(x, _bordered(x, sides, mode)))


def _bordered(x: Array, sides: tuple[tuple[int, int], ...], mode: str) -> Array:
    """Return the place that every pixel of the padded image comes from, -1 for a 0."""
    if not mode:
        return np.pad(places_of(x), sides, constant_values=-1)
    return np.pad(places_of(x), sides, mode=mode)  # type: ignore[call-overload,no-any-return]


def _normalised_border(
    evidence: Evidence, before: Node, x: Array, sides: tuple[tuple[int, int], ...]
) -> Computed:
    """The input with zeros around it, normalised after padding."""
    mean, std = (evidence.stored[f"{before.name}.{name}"] for name in ("mean", "std"))
    inside = gathered(x, _bordered(x, sides, ""))
    border = np.broadcast_to((-mean / std)[:, np.newaxis, np.newaxis], inside.value.shape[1:])
    outside = _bordered(x, sides, "") < 0
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


def _linear(evidence: Evidence, node: Node) -> Variants:
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


def _add(evidence: Evidence, node: Node) -> Variants:
    a, b = (value_of(evidence, name) for name in node.inputs)
    yield "add-first-alone", lambda: pointwise(a, 1.0, 0.0)
    yield "add-second-alone", lambda: pointwise(b, 0.0, 1.0)
    yield "add-difference", lambda: pointwise(a - b, 1.0, -1.0)
    yield "add-difference", lambda: pointwise(b - a, -1.0, 1.0)
    yield "add-mean", lambda: pointwise((a + b) / 2, 0.5, 0.5)
    yield "add-product", lambda: pointwise(a * b, b, a)
    yield "add-relu", lambda: pointwise(np.maximum(a, 0) + b, a > 0, 1.0)
    yield "add-relu", lambda: pointwise(a + np.maximum(b, 0), 1.0, b > 0)


def _shortcut(evidence: Evidence, node: Node) -> Variants:
    x, stride = value_of(evidence, node.inputs[0]), node.attributes["stride"]
    moved = np.roll(places_of(x), (-1, -1), (1, 2))[:, ::stride, ::stride]
    yield "subsample-offset", lambda: gathered(x, moved)
    window: Any = {"kernel": (stride, stride), "stride": (stride, stride)}
    pool = layers.average_pool_forward, layers.average_pool_backward
    yield "subsample-mean", lambda: layer(*pool, x, **window)


def _zero_pad(evidence: Evidence, node: Node) -> Variants:
    x = value_of(evidence, node.inputs[0])
    more = node.attributes["before"] + node.attributes["after"]
    for name, channels in (("pad-at-end", (0, more)), ("pad-at-start", (more, 0))):
        places = np.pad(places_of(x), (channels, (0, 0), (0, 0)), constant_values=-1)
        yield name, partial(gathered, x, places)


def _average_pool(evidence: Evidence, node: Node) -> Variants:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    average = layers.average_pool_forward, layers.average_pool_backward
    right = node.attributes["count_include_pad"]
    yield "pool-without-padding", lambda: layer(*average, x, **window, count_include_pad=not right)
    size = float(np.prod(window["kernel"]))

    def added() -> Computed:
        mean = layer(*average, x, **window, count_include_pad=True)
        return Computed(size * mean.value, lambda dy: mean.backward(size * dy))

    yield "pool-sum", added
    yield (
        "pool-maximum",
        lambda: layer(layers.max_pool_forward, layers.max_pool_backward, x, **window),
    )


def _max_pool(evidence: Evidence, node: Node) -> Variants:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    yield (
        "pool-mean-for-maximum",
        lambda: layer(layers.average_pool_forward, layers.average_pool_backward, x, **window),
    )
    sides = ((0, 0), *ends(windows_of(node.attributes).padded(x.shape[2:])))

    def with_zeros() -> Computed:
        padded = gathered(x, _bordered(x, sides, ""))
        pool = layers.max_pool_forward, layers.max_pool_backward
        maxima = layer(*pool, padded.value, **(window | {"padding": 0}))
        return Computed(maxima.value, lambda dy: padded.backward(maxima.backward(dy)[0][0]))

    yield "pool-zero-padding", with_zeros


def _global_average_pool(evidence: Evidence, node: Node) -> Variants:
    x = value_of(evidence, node.inputs[0])
    top = x.max(axis=(2, 3), keepdims=True)

    def spread(weights: Array, dy: Array) -> Array:
        return weights * dy[:, :, np.newaxis, np.newaxis]

    added = Computed(x.sum(axis=(2, 3)), lambda dy: ([spread(np.ones_like(x), dy)], {}))
    largest = Computed(top[:, :, 0, 0], lambda dy: ([spread(x == top, dy)], {}))
    yield "pool-sum", lambda: added
    yield "pool-maximum", lambda: largest


def _flatten(evidence: Evidence, node: Node) -> Variants:
    x = value_of(evidence, node.inputs[0])
    for name, axes in (("channels-last", (1, 2, 0)), ("columns", (0, 2, 1))):
        places = places_of(x).transpose(axes).ravel()
        yield f"flatten-{name}", partial(gathered, x, places)


BY_OPERATION = {
    "convolution": _convolution,
    "linear": _linear,
    "batch_norm": batch_norm_variants,
    "normalise": input_variants,
    "relu": relu_variants,
    "relu6": relu_variants,
    "add": _add,
    "subsample": _shortcut,
    "zero_pad": _zero_pad,
    "average_pool": _average_pool,
    "max_pool": _max_pool,
    "global_average_pool": _global_average_pool,
    "flatten": _flatten,
}
"""By operation: the node computed with each mistake, on demand."""


def _logits(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """The logits are the value of the output's node."""
    other = {"dense_logits": "sparse_logits", "sparse_logits": "dense_logits"}[evidence.quantity]
    if other in evidence.given:
        yield "logits-of-other", evidence.given[other]
    yield (
        "logits-softmax",
        np.exp(evidence.value) / np.exp(evidence.value).sum(axis=1, keepdims=True),
    )
    T = evidence.conventions.temperature
    if T != 1:
        yield "logits-by-temperature", evidence.value / T


VALUES: dict[str, Values] = {"dense_logits": _logits, "sparse_logits": _logits}
