"""Known slips in the layers: each gives the node's value, or gradient, of somebody who makes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fcpts_ref import layers
from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.convolution import settings
from fcpts_ref.oracle.clue import Array, Clue

Suspect = tuple[int | None, str, Array]


def _activation(clue: Clue) -> Iterator[Suspect]:
    node = clue.node
    x = _value(clue, node.inputs[0])
    if node.operation == "batch_norm":
        yield from _batch_norm_values(clue, node, x)
    if node.operation == "average_pool" and any(node.attributes["padding"]):
        ones, _ = layers.average_pool_forward(np.ones_like(x), **_window(node))
        yield None, "padding does not count in the mean", clue.value / ones
    if node.operation == "convolution":
        flipped = clue.stored[f"{node.name}.weight"][:, :, ::-1, ::-1]
        y, *_ = _forward(clue, node, {"weight": flipped})
        yield None, "the kernel is flipped: convolution, not cross-correlation", y
    if node.operation in ("convolution", "linear"):
        y, *_ = _forward(clue, node, {"weight": clue.state.parameters[f"{node.name}.weight"]})
        yield None, "the dense weight, not the masked one", y
        bias = clue.stored.get(f"{node.name}.bias")
        if bias is not None:
            y, *_ = _forward(clue, node, {"bias": np.zeros_like(bias)})
            yield None, "the bias is missing", y


def _batch_norm_values(clue: Clue, node: Node, x: Array) -> Iterator[Suspect]:
    stored = _stored(clue, node)
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


def _new_buffer(clue: Clue) -> Iterator[Suspect]:
    node_name, _, short = clue.item.rpartition(".")
    node = next(n for n in clue.setting.network.graph.nodes if n.name == node_name)
    x, old = _value(clue, node.inputs[0]), clue.state.buffers[clue.item]
    momentum = node.attributes["momentum"]
    M = x.size // x.shape[1]
    batch = (clue.value - (1 - momentum) * old) / momentum
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


def _dactivation(clue: Clue) -> Iterator[Suspect]:
    """A node's gradient is made by the backward of those who read it."""
    readers = [n for n in clue.setting.network.graph.nodes if clue.item in n.inputs]
    for reader in readers:
        for point, text, dx in _gradient_slips(clue, reader):
            right = _input_gradient(clue, reader)
            yield point, f"{text} (backward of {reader.name})", clue.value - right + dx
    for reader in readers if len(readers) > 1 else ():
        only = _input_gradient(clue, reader)
        yield None, f"only {reader.name} sends a gradient back, not all that read it", only


def _gradient_slips(clue: Clue, node: Node) -> Iterator[Suspect]:
    dy, x = clue.expected[f"dactivation/{node.name}"], _value(clue, node.inputs[0])
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
        flipped, cache = layers.max_pool_forward(x[:, :, ::-1, ::-1], **_window(node))
        if flipped.shape == dy.shape:
            dx = layers.max_pool_backward(dy[:, :, ::-1, ::-1], cache)[:, :, ::-1, ::-1]
            yield None, "ties in max pooling: the last maximum takes the gradient", dx
    if node.operation == "batch_norm":
        stored = _stored(clue, node)
        scale = stored["weight"] / np.sqrt(x.var(axis=(0, 2, 3)) + node.attributes["epsilon"])
        yield 15, "mean and variance of the batch are taken for constants", dy * _wide(scale)
    if node.operation == "convolution":
        yield from _kernel_slips(clue, node, x, dy)
    if node.operation == "global_average_pool":
        yield (
            None,
            "the mean's gradient is not divided by the pixels",
            np.broadcast_to(dy[:, :, np.newaxis, np.newaxis], x.shape),
        )


def _kernel_slips(clue: Clue, node: Node, x: Array, dy: Array) -> Iterator[Suspect]:
    weight = clue.stored[f"{node.name}.weight"]
    walk = settings(node.attributes)
    for text, kernel in (
        ("the kernel's rows and columns are exchanged", weight.swapaxes(2, 3)),
        ("the kernel is flipped once too often, or not at all", weight[:, :, ::-1, ::-1]),
        ("the dense weight, not the masked one", clue.state.parameters[f"{node.name}.weight"]),
    ):
        if kernel.shape == weight.shape:
            yield None, text, layers.convolution_input_gradient(dy, kernel, x.shape, **walk)


def _max_pool(node: Node, x: Array, dy: Array, *, share: bool) -> Array:
    """Every maximum of a window gets the gradient, or they share it."""
    window = _window(node)
    y, _ = layers.max_pool_forward(x, **window)
    (R, S), (down, right), (top, left) = window["kernel"], window["stride"], window["padding"]
    pads = ((0, 0), (0, 0), (top, top), (left, left))
    padded, dx = np.pad(x, pads, constant_values=-np.inf), np.zeros(np.pad(x, pads).shape)
    P, Q = y.shape[2:]
    places = [
        (slice(None), slice(None), slice(r, r + P * down, down), slice(s, s + Q * right, right))
        for r in range(R)
        for s in range(S)
    ]
    winners = [padded[place][:, :, :P, :Q] == y for place in places]
    parts: Any = sum(winners) if share else 1
    for place, winner in zip(places, winners, strict=True):
        dx[place][:, :, :P, :Q] += np.where(winner, dy / parts, 0)
    return dx[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _dsparse_weight(clue: Clue) -> Iterator[Suspect]:
    kept = clue.expected[f"sparse_weight/{clue.item}"] != 0
    yield 3, "pruned weights get no gradient", clue.value * kept
    yield 5, "the sum over the batch in place of its mean", clue.value * clue.batch
    yield 5, "the mean over the batch is taken twice", clue.value / clue.batch
    if clue.value.ndim == 4:
        yield None, "the kernel's rows and columns are exchanged", clue.value.swapaxes(2, 3)
        yield None, "the kernel is flipped", clue.value[:, :, ::-1, ::-1]


def _dense_activation(clue: Clue) -> Iterator[Suspect]:
    yield from _activation(clue)
    yield 15, "the sparse network's values", clue.expected[f"activation/{clue.item}"]


def _input_gradient(clue: Clue, node: Node) -> Array:
    """What the backward of ``node`` sends to the clue's node."""
    _, _, cache = _forward(clue, node, {})
    dinputs, _ = node.row.backward(clue.expected[f"dactivation/{node.name}"], cache)
    pairs = zip(node.inputs, dinputs, strict=True)
    parts = [dx for name, dx in pairs if name == clue.item]
    return np.asarray(sum(parts[1:], parts[0]))


def _forward(clue: Clue, node: Node, other: dict[str, Array]) -> Any:
    c = clue.conventions
    training = (c.teacher_batch_norm if clue.dense else c.student_batch_norm) == "training"
    inputs = [_value(clue, name) for name in node.inputs]
    stored = _stored(clue, node) | other
    return node.row.forward(inputs, stored, node.attributes, training)


def _stored(clue: Clue, node: Node) -> dict[str, Array]:
    prefix = f"{node.name}."
    return {
        name.removeprefix(prefix): array
        for name, array in clue.stored.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }


def _value(clue: Clue, name: str) -> Array:
    assert clue.inputs is not None
    prefix = "dense_activation" if clue.dense else "activation"
    return (
        clue.inputs.images
        if name in clue.setting.network.graph.inputs
        else clue.expected[f"{prefix}/{name}"]
    )


def _window(node: Node) -> dict[str, Any]:
    return {k: node.attributes[k] for k in ("kernel", "stride", "padding")}


def _wide(per_channel: Array) -> Array:
    return per_channel[:, np.newaxis, np.newaxis]


SLIPS = {
    "activation": _activation,
    "dense_activation": _dense_activation,
    "new_buffer": _new_buffer,
    "dactivation": _dactivation,
    "dsparse_weight": _dsparse_weight,
}
"""By quantity."""
