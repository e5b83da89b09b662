"""Mistakes in the backward pass: the gradient of a node's value, and of the sparse weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.convolution import settings
from fcpts_ref.graphs.operations.pooling import windows_of
from fcpts_ref.layers.padding import ends
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.oracle.mistakes.values import (
    input_gradient,
    stored_of,
    value_of,
    wide,
    window_of,
)


def _dactivation(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """Yield mistakes in the backward passes of the node's readers, whose gradients add up."""
    right, readers = evidence.value, _readers(evidence)
    yield "back-batch-sum", right * evidence.batch
    yield "back-batch-twice", right / evidence.batch
    yield "back-sign", -right
    yield "back-missing", np.zeros_like(right)
    for reader in readers:
        if f"dactivation/{reader.name}" not in evidence.given:
            continue
        for name, dx in _through(evidence, reader):
            yield name, right - _sent(evidence, reader) + dx
    for reader in readers if len(readers) > 1 else ():
        yield "back-one-reader", _sent(evidence, reader)


def _readers(evidence: Evidence) -> list[Node]:
    return [n for n in evidence.setting.network.graph.nodes if evidence.item in n.inputs]


def _sent(evidence: Evidence, node: Node) -> Array:
    """Return the gradient that a reader sends to the value, all its uses together."""
    pairs = zip(node.inputs, input_gradient(evidence, node), strict=True)
    parts = [dx for name, dx in pairs if name == evidence.item]
    return np.asarray(sum(parts[1:], parts[0]))


def _through(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    dy, x = evidence.given[f"dactivation/{node.name}"], value_of(evidence, node.inputs[0])
    if node.operation in ("relu", "relu6"):
        yield "back-relu-at-0", np.where(x >= 0, dy, 0)
        yield "back-relu-half", np.where(x > 0, dy, np.where(x == 0, dy / 2, 0))
        yield "back-relu-leaks", np.where(x > 0, dy, 0.01 * dy)
        yield "back-relu-missing", dy
        if node.operation == "relu6":
            yield "back-relu6-above-6", np.where(x > 0, dy, 0)
    elif node.operation == "max_pool":
        yield from _max_pool(node, x, dy)
    elif node.operation == "batch_norm":
        yield from _batch_norm(evidence, node, x, dy)
    elif node.operation == "convolution":
        yield from _kernel(evidence, node, x, dy)
    elif node.operation == "linear":
        yield "back-weight-dense", dy @ evidence.state.parameters[f"{node.name}.weight"]
    elif node.operation == "global_average_pool":
        yield "back-pool-not-divided", np.broadcast_to(dy[:, :, np.newaxis, np.newaxis], x.shape)
    elif node.operation == "average_pool":
        window = window_of(node)
        yield "back-pool-not-divided", _sent(evidence, node) * np.prod(window["kernel"])
        counted = not node.attributes["count_include_pad"]
        _, cache = layers.average_pool_forward(x, **window, count_include_pad=counted)
        yield "back-pool-by-count", layers.average_pool_backward(dy, cache)
    elif node.operation == "add":
        yield "back-add-halves", _sent(evidence, node) / 2


def _batch_norm(evidence: Evidence, node: Node, x: Array, dy: Array) -> Iterator[tuple[str, Array]]:
    gamma, axes = stored_of(evidence, node)["weight"], (0, 2, 3)
    inverse = 1 / np.sqrt(x.var(axis=axes) + node.attributes["epsilon"])
    scaled = wide(gamma * inverse)
    normed = (x - wide(x.mean(axis=axes))) * wide(inverse)
    yield "back-bn-constants", dy * scaled
    yield "back-bn-without-variance", scaled * (dy - wide(dy.mean(axis=axes)))
    yield "back-bn-without-mean", scaled * (dy - normed * wide((dy * normed).mean(axis=axes)))
    yield "back-bn-without-gamma", _sent(evidence, node) / wide(gamma)


def _kernel(evidence: Evidence, node: Node, x: Array, dy: Array) -> Iterator[tuple[str, Array]]:
    weight = evidence.stored[f"{node.name}.weight"]
    geometry = settings(node.attributes)
    for name, kernel in (
        ("back-kernel-transposed", weight.swapaxes(2, 3)),
        ("back-kernel-flipped", weight[:, :, ::-1, ::-1]),
        ("back-weight-dense", evidence.state.parameters[f"{node.name}.weight"]),
    ):
        if kernel.shape == weight.shape:
            yield name, layers.convolution_input_gradient(dy, kernel, x.shape, **geometry)


def _max_pool(node: Node, x: Array, dy: Array) -> Iterator[tuple[str, Array]]:
    yield "back-max-every", _to_maxima(node, x, dy, share=False)
    yield "back-max-shared", _to_maxima(node, x, dy, share=True)
    top, left, bottom, right = windows_of(node.attributes).padding
    window = window_of(node) | {"padding": (bottom, right, top, left)}
    flipped, cache = layers.max_pool_forward(x[:, :, ::-1, ::-1], **window)
    if flipped.shape == dy.shape:
        dx = layers.max_pool_backward(dy[:, :, ::-1, ::-1], cache)[:, :, ::-1, ::-1]
        yield "back-max-last", dx


def _to_maxima(node: Node, x: Array, dy: Array, *, share: bool) -> Array:
    """Give the gradient to every maximum of a window, or share it among them."""
    windows = windows_of(node.attributes)
    y, _ = layers.max_pool_forward(x, **window_of(node))
    (R, S), (down, right), (d, e) = windows.kernel, windows.stride, windows.dilation
    (top, bottom), (left, beyond) = ends(windows.padded(x.shape[2:]))
    pads = ((0, 0), (0, 0), (top, bottom), (left, beyond))
    padded, dx = np.pad(x, pads, constant_values=-np.inf), np.zeros(np.pad(x, pads).shape)
    P, Q = y.shape[2:]
    places = [
        (slice(None), slice(None), slice(r, r + P * down, down), slice(s, s + Q * right, right))
        for r in range(0, d * R, d)
        for s in range(0, e * S, e)
    ]
    winners = [padded[place][:, :, :P, :Q] == y for place in places]
    parts: Any = sum(winners) if share else 1
    for place, winner in zip(places, winners, strict=True):
        dx[place][:, :, :P, :Q] += np.where(winner, dy / parts, 0)
    return dx[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _dsparse_weight(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    right, W = evidence.value, evidence.weights[evidence.item]
    yield "dsparse-pruned-zero", right * (evidence.given[f"sparse_weight/{evidence.item}"] != 0)
    yield "dsparse-batch-sum", right * evidence.batch
    yield "dsparse-batch-twice", right / evidence.batch
    yield "dsparse-sign", -right
    yield "dsparse-missing", np.zeros_like(right)
    yield "dsparse-by-weight", right * W
    name = evidence.item.removesuffix(".weight")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == name)
    dy, source = evidence.given[f"dactivation/{name}"], node.inputs[0]
    if right.ndim == 4:
        if right.shape[2] == right.shape[3]:
            yield "dsparse-kernel-transposed", right.swapaxes(2, 3)
        yield "dsparse-kernel-flipped", right[:, :, ::-1, ::-1]
        yield "dsparse-pixels-mean", right / np.prod(dy.shape[2:])
    dense = evidence.given.get(f"dense_activation/{source}")
    if dense is not None:
        stored = stored_of(evidence, node)
        _, _, cache = node.row.forward([dense], stored, node.attributes, True)
        yield "dsparse-of-dense-input", node.row.backward(dy, cache)[1]["weight"]


VALUES: dict[str, Values] = {"dactivation": _dactivation, "dsparse_weight": _dsparse_weight}
