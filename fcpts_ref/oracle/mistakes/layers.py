"""Mistakes in the layers: each gives the value or gradient that a node would have with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.convolution import settings
from fcpts_ref.graphs.operations.pooling import windows_of
from fcpts_ref.layers.windows import gather, scatter
from fcpts_ref.oracle.evidence import Array, Candidate, Evidence


def _activation(evidence: Evidence) -> Iterator[Candidate]:
    node = evidence.node
    x = _value(evidence, node.inputs[0])
    if node.operation == "batch_norm":
        yield from _batch_norm_values(evidence, node, x)
    if node.operation == "average_pool" and _counts_padding(node):
        ones, _ = layers.average_pool_forward(np.ones_like(x), **node.attributes)
        yield None, "padding does not count in the mean", evidence.value / ones
    if node.operation == "convolution":
        flipped = evidence.stored[f"{node.name}.weight"][:, :, ::-1, ::-1]
        y, *_ = _forward(evidence, node, {"weight": flipped})
        yield None, "the kernel is flipped: convolution, not cross-correlation", y
    if node.operation in ("convolution", "linear"):
        y, *_ = _forward(
            evidence, node, {"weight": evidence.state.parameters[f"{node.name}.weight"]}
        )
        yield None, "the dense weight, not the masked one", y
        bias = evidence.stored.get(f"{node.name}.bias")
        if bias is not None:
            y, *_ = _forward(evidence, node, {"bias": np.zeros_like(bias)})
            yield None, "the bias is missing", y


def _counts_padding(node: Node) -> bool:
    return any(node.attributes["padding"]) and bool(node.attributes["count_include_pad"])


def _batch_norm_values(evidence: Evidence, node: Node, x: Array) -> Iterator[Candidate]:
    stored = _stored(evidence, node)
    epsilon = node.attributes["epsilon"]
    mean, biased = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    M = x.size // x.shape[1]

    def normalised(mean: Array, divisor: Array) -> Array:
        gamma, beta = stored["weight"], stored["bias"]
        return np.asarray(_wide(gamma) * (x - _wide(mean)) / _wide(divisor) + _wide(beta))

    unbiased = biased * M / max(M - 1, 1)
    yield 15, "normalised by the unbiased variance", normalised(mean, np.sqrt(unbiased + epsilon))
    yield (
        15,
        "epsilon is added to the deviation, not the variance",
        normalised(mean, np.sqrt(biased) + epsilon),
    )
    for other in {0.0, 1e-3, 1e-5} - {epsilon}:
        yield 15, f"epsilon is {other:g}", normalised(mean, np.sqrt(biased + other))


def _new_buffer(evidence: Evidence) -> Iterator[Candidate]:
    node_name, _, short = evidence.item.rpartition(".")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == node_name)
    x, old = _value(evidence, node.inputs[0]), evidence.state.buffers[evidence.item]
    momentum = node.attributes["momentum"]
    M = x.size // x.shape[1]
    batch = (evidence.value - (1 - momentum) * old) / momentum
    yield 15, "running statistics stay as they were", old
    yield (
        15,
        "momentum the other way round: m running + (1 - m) batch",
        (momentum * old + (1 - momentum) * batch),
    )
    yield 15, "the batch's statistics, not running ones", batch
    if short == "running_var":
        biased = (1 - momentum) * old + momentum * x.var(axis=(0, 2, 3))
        yield 15, "the running variance takes the batch's biased variance", biased
        yield (
            15,
            "the variance is made unbiased twice",
            ((1 - momentum) * old + momentum * batch * M / max(M - 1, 1)),
        )


def _dactivation(evidence: Evidence) -> Iterator[Candidate]:
    """Yield mistakes in the backward passes of the node's readers, whose gradients add up."""
    readers = [n for n in evidence.setting.network.graph.nodes if evidence.item in n.inputs]
    for reader in readers:
        for point, text, dx in _gradient_mistakes(evidence, reader):
            right = _input_gradient(evidence, reader)
            yield point, f"{text} (backward of {reader.name})", evidence.value - right + dx
    for reader in readers if len(readers) > 1 else ():
        only = _input_gradient(evidence, reader)
        yield None, f"only {reader.name} sends a gradient back, not all that read it", only


def _gradient_mistakes(evidence: Evidence, node: Node) -> Iterator[Candidate]:
    dy, x = evidence.expected[f"dactivation/{node.name}"], _value(evidence, node.inputs[0])
    if node.operation == "relu":
        yield None, "the derivative of ReLU at 0 is 1", np.where(x >= 0, dy, 0)
    if node.operation == "max_pool":
        yield (
            None,
            "ties in max pooling: every maximum takes the gradient",
            _max_pool(node, x, dy, share=False),
        )
        yield (
            None,
            "ties in max pooling: maxima share the gradient",
            _max_pool(node, x, dy, share=True),
        )
        top, left, bottom, right = node.attributes["padding"]
        window = dict(node.attributes) | {"padding": (bottom, right, top, left)}
        flipped, cache = layers.max_pool_forward(x[:, :, ::-1, ::-1], **window)
        if flipped.shape == dy.shape:
            dx = layers.max_pool_backward(dy[:, :, ::-1, ::-1], cache)[:, :, ::-1, ::-1]
            yield None, "ties in max pooling: the last maximum takes the gradient", dx
    if node.operation == "batch_norm":
        stored = _stored(evidence, node)
        scale = stored["weight"] / np.sqrt(x.var(axis=(0, 2, 3)) + node.attributes["epsilon"])
        yield 15, "mean and variance of the batch are taken for constants", dy * _wide(scale)
    if node.operation == "convolution":
        yield from _kernel_mistakes(evidence, node, x, dy)
    if node.operation == "global_average_pool":
        yield (
            None,
            "the mean's gradient is not divided by the pixels",
            np.broadcast_to(dy[:, :, np.newaxis, np.newaxis], x.shape),
        )


def _kernel_mistakes(evidence: Evidence, node: Node, x: Array, dy: Array) -> Iterator[Candidate]:
    weight = evidence.stored[f"{node.name}.weight"]
    geometry = settings(node.attributes)
    for text, kernel in (
        ("the kernel's rows and columns are exchanged", weight.swapaxes(2, 3)),
        ("the kernel is flipped once too often, or not at all", weight[:, :, ::-1, ::-1]),
        ("the dense weight, not the masked one", evidence.state.parameters[f"{node.name}.weight"]),
    ):
        if kernel.shape == weight.shape:
            yield None, text, layers.convolution_input_gradient(dy, kernel, x.shape, **geometry)


def _max_pool(node: Node, x: Array, dy: Array, *, share: bool) -> Array:
    """Give the gradient to every maximum of a window, or share it among them."""
    y, _ = layers.max_pool_forward(x, **node.attributes)
    windows = windows_of(node.attributes)
    winners = gather(x, windows, fill=-np.inf) == y[..., np.newaxis, np.newaxis]
    parts: Any = winners.sum(axis=(4, 5)) if share else 1
    R, S = windows.kernel
    taps = ((r, s, np.where(winners[..., r, s], dy / parts, 0)) for r in range(R) for s in range(S))
    return scatter(taps, x.shape, windows, dy)


def _dsparse_weight(evidence: Evidence) -> Iterator[Candidate]:
    kept = evidence.expected[f"sparse_weight/{evidence.item}"] != 0
    yield 3, "pruned weights get no gradient", evidence.value * kept
    yield 5, "the sum over the batch in place of its mean", evidence.value * evidence.batch
    yield 5, "the mean over the batch is taken twice", evidence.value / evidence.batch
    if evidence.value.ndim == 4:
        yield None, "the kernel's rows and columns are exchanged", evidence.value.swapaxes(2, 3)
        yield None, "the kernel is flipped", evidence.value[:, :, ::-1, ::-1]


def _dense_activation(evidence: Evidence) -> Iterator[Candidate]:
    yield from _activation(evidence)
    yield 15, "the sparse network's values", evidence.expected[f"activation/{evidence.item}"]


def _input_gradient(evidence: Evidence, node: Node) -> Array:
    """Return the gradient that the backward pass of ``node`` sends to the node in question."""
    _, _, cache = _forward(evidence, node, {})
    dinputs, _ = node.row.backward(evidence.expected[f"dactivation/{node.name}"], cache)
    pairs = zip(node.inputs, dinputs, strict=True)
    parts = [dx for name, dx in pairs if name == evidence.item]
    return np.asarray(sum(parts[1:], parts[0]))


def _forward(evidence: Evidence, node: Node, other: dict[str, Array]) -> Any:
    c = evidence.conventions
    training = (c.teacher_batch_norm if evidence.dense else c.student_batch_norm) == "training"
    inputs = [_value(evidence, name) for name in node.inputs]
    stored = _stored(evidence, node) | other
    return node.row.forward(inputs, stored, node.attributes, training)


def _stored(evidence: Evidence, node: Node) -> dict[str, Array]:
    prefix = f"{node.name}."
    return {
        name.removeprefix(prefix): array
        for name, array in evidence.stored.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }


def _value(evidence: Evidence, name: str) -> Array:
    assert evidence.inputs is not None
    prefix = "dense_activation" if evidence.dense else "activation"
    return (
        evidence.inputs.images
        if name in evidence.setting.network.graph.inputs
        else evidence.expected[f"{prefix}/{name}"]
    )


def _wide(per_channel: Array) -> Array:
    return per_channel[:, np.newaxis, np.newaxis]


MISTAKES = {
    "activation": _activation,
    "dense_activation": _dense_activation,
    "new_buffer": _new_buffer,
    "dactivation": _dactivation,
    "dsparse_weight": _dsparse_weight,
}
"""Functions of the evidence, by quantity."""
