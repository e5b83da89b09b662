"""Mistakes in the forward pass: the value that a node would have with each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.layers.padding import ends
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values
from fcpts_ref.oracle.mistakes.normalisation import batch_norm_values, input_values
from fcpts_ref.oracle.mistakes.values import run_forward, value_of, window_of

OF = ("activation", "dense_activation")
BACK = (*OF, "dactivation")


def _of(text: str, formula: str, look: str = "", point: int | None = None) -> Mistake:
    return Mistake(text, formula, OF, look, point)


def _both_ways(text: str, formula: str, look: str = "", together: bool = True) -> Mistake:
    """Return a mistake that autograd carries into the backward pass."""
    return Mistake(text, formula, BACK, look, together=together)


NAMES = {
    "kernel-flipped": _of("the kernel is flipped: convolution, not cross-correlation", "w(-r, -s)", "scipy.signal.convolve"),
    "kernel-transposed": _of("the kernel's rows and columns are exchanged", "w(s, r)", "layouts HWIO and OIHW"),
    "kernel-mirrored": _of("the kernel's columns are mirrored", "w(r, -s)"),
    "weight-dense": _of("the dense weight, not the masked one", "f(X, W)", "the mask is not applied in this layer"),
    "bias-missing": _of("the bias is missing", "y - b", "bias=False"),
    "bias-twice": _of("the bias is added twice", "y + b"),
    "linear-transposed": _of("the weight of the linear layer is transposed", "x W in place of x W^T", "(in, out) and (out, in)"),
    "padding-before-normalising": _of(
        "the image is padded before it is normalised", "the border is -mean / std, not 0", "transforms that pad raw images"
    ),
    "convolution-reflects": _of("the border is reflected, not 0", "padding_mode='reflect'"),
    "convolution-wraps": _of("the border wraps around, not 0", "padding_mode='circular'", "convolution by FFT"),
    "convolution-repeats-edge": _of("the border repeats the edge, not 0", "padding_mode='replicate'"),
    "relu-missing": _both_ways("ReLU is missing", "x"),
    "relu-leaks": _both_ways("ReLU leaks", "0.01 x below 0", "LeakyReLU"),
    "relu-magnitude": _of("the magnitude in place of ReLU", "|x|"),
    "relu6-for-relu": _of("ReLU6 in place of ReLU", "min(max(x, 0), 6)"),
    "relu-for-relu6": _of("ReLU in place of ReLU6", "max(x, 0)"),
    "add-first-alone": _of("the second branch of the addition is missing", "a"),
    "add-second-alone": _of("the first branch of the addition is missing", "b"),
    "add-difference": _of("the branches are subtracted", "a - b"),
    "add-mean": _both_ways("the mean of the branches", "(a + b) / 2"),
    "add-relu": _of("ReLU before the addition", "max(a, 0) + b"),
    "subsample-offset": _both_ways("subsampling starts at pixel 1", "x[1::2, 1::2]", "nearest neighbours with half-pixel centres", together=False),
    "subsample-mean": _of("pixels are averaged, not taken", "average pooling"),
    "pad-at-end": _both_ways("all zero channels come after the others", "(x, 0)", together=False),
    "pad-at-start": _both_ways("all zero channels come before the others", "(0, x)", together=False),
    "pool-without-padding": _of("padding does not count in the mean", "the mean over pixels of the image", "count_include_pad=False"),
    "pool-sum": _both_ways("the sum over the window in place of its mean", "sum"),
    "pool-maximum": _of("the maximum in place of the mean", "max", "MaxPool2d for AvgPool2d"),
    "pool-mean-for-maximum": _of("the mean in place of the maximum", "mean", "AvgPool2d for MaxPool2d"),
    "pool-zero-padding": _of("padding counts as 0 in the maximum", "max(x, 0) at the border", "np.pad with zeros"),
    "flatten-channels-last": _of("flattened with the channels last", "(H, W, C)", "layouts NHWC and NCHW"),
    "flatten-columns": _of("flattened column by column", "(C, W, H)", "order='F'"),
    "network-of-other": _of("the other network's value", "f(X, M W) for f(X, W), or the other way round", "both names refer to one network"),
}  # fmt: skip


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
    before = next((n for n in evidence.setting.network.graph.nodes if n.name == node.inputs[0]), None)
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
    yield "weight-dense", run_forward(evidence, node, {"weight": parameters[f"{node.name}.weight"]})[0]
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
    x, more = value_of(evidence, node.inputs[0]), node.attributes["before"] + node.attributes["after"]
    yield "pad-at-end", np.pad(x, ((0, 0), (0, more), (0, 0), (0, 0)))
    yield "pad-at-start", np.pad(x, ((0, 0), (more, 0), (0, 0), (0, 0)))


def _average_pool(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    if node.attributes["count_include_pad"]:
        ones, _ = layers.average_pool_forward(np.ones_like(x), **window)
        yield "pool-without-padding", evidence.value / ones
    yield "pool-sum", evidence.value * np.prod(window["kernel"])
    yield "pool-maximum", layers.max_pool_forward(x, **window)[0]


def _max_pool(evidence: Evidence, node: Node) -> Iterator[tuple[str, Array]]:
    x, window = value_of(evidence, node.inputs[0]), window_of(node)
    yield "pool-mean-for-maximum", layers.average_pool_forward(x, **window)[0]
    padded = np.pad(x, ((0, 0), (0, 0), *ends(window["padding"])))
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
    yield "logits-softmax", np.exp(evidence.value) / np.exp(evidence.value).sum(axis=1, keepdims=True)
    T = evidence.conventions.temperature
    if T != 1:
        yield "logits-by-temperature", evidence.value / T


LOGITS = ("dense_logits", "sparse_logits")
NAMES |= {
    "logits-of-other": Mistake("the other network's logits", "f(X, M W) for f(X, W), or the other way round", LOGITS, "both names refer to one network"),
    "logits-softmax": Mistake("probabilities in place of logits", "softmax(Y)", LOGITS, "a softmax layer at the end of the network", 6),
    "logits-by-temperature": Mistake("the logits are divided by T already", "Y / T", LOGITS, point=5),
}  # fmt: skip

VALUES: dict[str, Values] = {
    "activation": _activation,
    "dense_activation": _activation,
    "dense_logits": _logits,
    "sparse_logits": _logits,
}
