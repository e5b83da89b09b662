"""A node that reads something else: another node's value, its input through a function, or the
arrays of the dense network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.special import expit

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import Computed, Gradients, Variants, rerun
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.values import run_forward, stored_of, value_of

READS, FED = "reads", "fed"
Move = Callable[[Array], Array]
FED_NAME = " fed"  # of the changed input, which no node has


def input_variants(evidence: Evidence, node: Node) -> Variants:
    """Yield the node with another input, and with the dense network's arrays."""
    yield from _other_nodes(evidence, node)
    for i, name in enumerate(node.inputs):
        for text, value, slope in fed_functions(value_of(evidence, name)):
            yield f"{FED}{MARK}{text}", partial(_fed, evidence, node, i, value, slope)
        if not evidence.dense and f"dense_activation/{name}" in evidence.given:
            dense = evidence.given[f"dense_activation/{name}"]
            yield f"{FED}{MARK}x of the dense network", partial(_fed, evidence, node, i, dense, 1.0)
    stored = stored_of(evidence, node)
    network = evidence.setting.network
    arrays = {**network.parameters, **network.buffers}
    dense_arrays = {short: arrays[f"{node.name}.{short}"] for short in stored}
    if not evidence.dense:
        for short, array in dense_arrays.items():
            if short != "weight" or node.operation == "batch_norm":
                yield "arrays-of-dense", partial(rerun, evidence, node, {short: array})
        if dense_arrays:
            yield "arrays-of-dense", partial(rerun, evidence, node, dense_arrays)
    elif stored:
        now = {**evidence.state.parameters, **evidence.state.buffers}
        yield (
            "arrays-of-student",
            partial(rerun, evidence, node, {n: now[f"{node.name}.{n}"] for n in stored}),
        )


def _other_nodes(evidence: Evidence, node: Node) -> Variants:
    graph = evidence.setting.network.graph
    before = [n.name for n in graph.nodes[: graph.nodes.index(node)]]
    for i, own in enumerate(node.inputs):
        shape = value_of(evidence, own).shape
        for other in (*graph.inputs, *before):
            if other not in node.inputs and value_of(evidence, other).shape == shape:
                text = f"{READS}{MARK}{other} for {own}"
                yield text, partial(_fed, evidence, node, i, value_of(evidence, other), 0.0)


def fed_functions(x: Array) -> Iterator[tuple[str, Array, Array | Move]]:
    """Yield functions of an input, with their derivatives, or with what moves a gradient back."""
    if x.ndim == 4:
        for axis, name in enumerate(("images", "channels", "rows", "columns")):
            flip = partial(np.flip, axis=axis)
            yield f"{name} reversed", flip(x), flip
        if x.shape[2] == x.shape[3]:
            exchange = partial(np.swapaxes, axis1=2, axis2=3)
            yield "rows and columns exchanged", exchange(x), exchange
    yield "max(x, 0)", np.maximum(x, 0), (x > 0) * 1.0
    yield "-x", -x, np.full_like(x, -1)
    yield "|x|", np.abs(x), np.sign(x)
    yield "x^2", x * x, 2 * x
    yield "x / 2", x / 2, np.full_like(x, 0.5)
    yield "2 x", 2 * x, np.full_like(x, 2)
    yield "tanh(x)", np.tanh(x), 1 - np.tanh(x) ** 2
    yield "sigmoid(x)", expit(x), expit(x) * expit(-x)


def _fed(
    evidence: Evidence, node: Node, i: int, value: Array, slope: Array | float | Move
) -> Computed:
    """The node with another value in the place of one input."""
    inputs = tuple(FED_NAME if j == i else name for j, name in enumerate(node.inputs))
    prefix = "dense_activation" if evidence.dense else "activation"
    given = {**evidence.given, f"{prefix}/{FED_NAME}": value}
    changed = replace(node, inputs=inputs)
    y, cache = run_forward(replace(evidence, given=given), changed, {})

    def backward(dy: Array) -> Gradients:
        dinputs, dstored = node.row.backward(dy, cache)
        sent = [np.asarray(dx) for dx in dinputs]
        sent[i] = slope(sent[i]) if callable(slope) else sent[i] * slope
        return sent, dstored

    return Computed(y, backward)
