"""Mistakes in the forward pass: the value that a node would have with each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.pooling import windows_of
from fcpts_ref.layers.padding import ends
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.oracle.mistakes.normalisation import batch_norm_values, input_values
from fcpts_ref.oracle.mistakes.values import run_forward, value_of, window_of


def _activation(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    node = evidence.node
    yield from BY_OPERATION.get(node.operation, _nothing)(evidence, node)
    kind = "activation" if evidence.dense else "dense_activation"
    other = evidence.given.get(f"{kind}/{evidence.item}")
    if other is not None and node.operation != "normalise":  # that is the same in both
        yield "network-of-other", other


def _nothing(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    yield from ()


def _convolution(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    weight = evidence.stored[f"{node.name}.weight"]

    def with_weight(kernel: Array) -> Array:
        return run_forward(evidence, node, {"weight": kernel})[0]

    yield "kernel-flipped", with_weight(weight[:, :, ::-1, ::-1])
    yield "kernel-mirrored", with_weight(weight[:, :, :, ::-1])
    if weight.shape[2] == weight.shape[3]:
        yield "kernel-transposed", with_weight(weight.swapaxes(2, 3))
    yield from _weighted(evidence, node)
    yield from _borders(evidence, node, weight)


def _borders(evidence: Evidence, node: Node, weight: Array) -> Iterator[tuple[str, Array]]:
    """Yield the convolution with other values in the padding."""
    x, padding = value_of(evidence, node.inputs[0]), node.attributes["padding"]
    if not any(padding):
        return
    sides = ((0, 0), (0, 0), *ends(padding))
    bias = evidence.stored.get(f"{node.name}.bias")
    geometry = {k: node.attributes[k] for k in ("stride", "dilation", "groups")}

    def convolve(padded: Array) -> Array:
        return np.asarray(layers.convolution_forward(padded, weight, bias, **geometry)[0])

    for name, mode in (("reflects", "reflect"), ("wraps", "wrap"), ("repeats-edge", "edge")):
        yield f"convolution-{name}", convolve(np.pad(x, sides, mode=mode))  # type: ignore[call-overload]
    before = next(
        (n for n in evidence.setting.network.graph.nodes if n.name == node.inputs[0]), None
    )
    if before is not None and before.operation == "normalise":
        stored = evidence.stored
        mean, std = stored[f"{before.name}.mean"], stored[f"{before.name}.std"]
        border = np.broadcast_to((-mean / std)[:, None, None], x.shape[1:])
        padded = np.pad(x, sides)
        outside = np.pad(np.zeros(x.shape), sides, constant_values=1.0) == 1
        yield "padding-before-normalising", convolve(np.where(outside, border[:, :1, :1], padded))


def _linear(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    weight = evidence.stored[f"{node.name}.weight"]
    if weight.shape[0] == weight.shape[1]:
        yield "linear-transposed", run_forward(evidence, node, {"weight": weight.T})[0]
    yield from _weighted(evidence, node)


def _weighted(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    parameters = evidence.state.parameters
    yield (
        "weight-dense",
        run_forward(evidence, node, {"weight": parameters[f"{node.name}.weight"]})[0],
    )
    bias = evidence.stored.get(f"{node.name}.bias")
    if bias is not None:
        yield "bias-missing", run_forward(evidence, node, {"bias": np.zeros_like(bias)})[0]
        yield "bias-twice", run_forward(evidence, node, {"bias": 2 * bias})[0]


def _relu(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x = value_of(evidence, node.inputs[0])
    yield "relu-missing", x
    yield "relu-leaks", np.where(x > 0, x, 0.01 * x)
    yield "relu-magnitude", np.abs(x)
    if node.operation == "relu":
        yield "relu6-for-relu", np.clip(x, 0, 6)
    else:
        yield "relu-for-relu6", np.maximum(x, 0)


def _add(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    a, b = (value_of(evidence, name) for name in node.inputs)
    yield "add-first-alone", a
    yield "add-second-alone", b
    yield "add-difference", a - b
    yield "add-difference", b - a
    yield "add-mean", (a + b) / 2
    yield "add-relu", np.maximum(a, 0) + b
    yield "add-relu", a + np.maximum(b, 0)


def _shortcut(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x, stride = value_of(evidence, node.inputs[0]), node.attributes["stride"]
    yield "subsample-offset", np.roll(x, (-1, -1), (2, 3))[:, :, ::stride, ::stride]
    mean, _ = layers.average_pool_forward(x, kernel=(stride, stride), stride=(stride, stride))
    yield "subsample-mean", mean


def _zero_pad(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x, more = (
        value_of(evidence, node.inputs[0]),
        node.attributes["before"] + node.attributes["after"],
    )
    yield "pad-at-end", np.pad(x, ((0, 0), (0, more), (0, 0), (0, 0)))
    yield "pad-at-start", np.pad(x, ((0, 0), (more, 0), (0, 0), (0, 0)))


def _average_pool(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    counted = not node.attributes["count_include_pad"]
    other, _ = layers.average_pool_forward(x, **window, count_include_pad=counted)
    yield "pool-without-padding", other
    yield "pool-sum", evidence.value * np.prod(window["kernel"])
    yield "pool-maximum", layers.max_pool_forward(x, **window)[0]


def _max_pool(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    yield "pool-mean-for-maximum", layers.average_pool_forward(x, **window)[0]
    padded = np.pad(x, ((0, 0), (0, 0), *ends(windows_of(node.attributes).padded(x.shape[2:]))))
    yield "pool-zero-padding", layers.max_pool_forward(padded, **(window | {"padding": 0}))[0]


def _global_average_pool(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x = value_of(evidence, node.inputs[0])
    yield "pool-sum", x.sum(axis=(2, 3))
    yield "pool-maximum", x.max(axis=(2, 3))


def _flatten(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x = value_of(evidence, node.inputs[0])
    yield "flatten-channels-last", x.transpose(0, 2, 3, 1).reshape(len(x), -1)
    yield "flatten-columns", x.transpose(0, 1, 3, 2).reshape(len(x), -1)


BY_OPERATION = {
    "convolution": _convolution,
    "linear": _linear,
    "batch_norm": batch_norm_values,
    "normalise": input_values,
    "relu": _relu,
    "relu6": _relu,
    "add": _add,
    "subsample": _shortcut,
    "zero_pad": _zero_pad,
    "average_pool": _average_pool,
    "max_pool": _max_pool,
    "global_average_pool": _global_average_pool,
    "flatten": _flatten,
}


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


VALUES: dict[str, Values] = {
    "activation": _activation,
    "dense_activation": _activation,
    "dense_logits": _logits,
    "sparse_logits": _logits,
}
