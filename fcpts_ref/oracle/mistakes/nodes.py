"""All quantities in which a mistake in a node shows: its value and the gradients through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.computed import Computed, Gradients, Variants
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.forward import BY_OPERATION
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.reads import input_variants
from fcpts_ref.oracle.mistakes.values import input_gradient

Part = Callable[[Computed], Array]


def _activation(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    node = evidence.node
    yield from _parts(evidence, node, _value)
    kind = "activation" if evidence.dense else "dense_activation"
    other = evidence.given.get(f"{kind}/{evidence.item}")
    if other is not None and node.operation != "normalise":  # that is the same in both
        yield "network-of-other", other


def _dactivation(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The gradients that the node's readers send add up; one of them is computed with a mistake."""
    readers = [n for n in evidence.setting.network.graph.nodes if evidence.item in n.inputs]
    for node in readers:
        if f"dactivation/{node.name}" not in evidence.given:
            continue
        right = evidence.value - _sent(evidence, node, input_gradient(evidence, node))

        def received(computed: Computed, node: Node = node, right: Array = right) -> Array:
            return right + _sent(evidence, node, _gradients(evidence, node, computed)[0])

        yield from _parts(evidence, node, received)


def _sent(evidence: Evidence, node: Node, dinputs: Any) -> Array:
    parts = [dx for name, dx in zip(node.inputs, dinputs, strict=True) if name == evidence.item]
    return np.asarray(sum(parts[1:], parts[0]))


def _dstored(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The gradient of an array that a node stores."""
    name, _, short = evidence.item.rpartition(".")
    node = next(n for n in evidence.setting.network.graph.nodes if n.name == name)
    if evidence.quantity == "dparameter" and evidence.item in evidence.weights:
        return  # there the mask comes between

    def received(computed: Computed) -> Array:
        gradient = _gradients(evidence, node, computed)[1].get(short)
        return np.zeros_like(evidence.value) if gradient is None else gradient

    yield from _parts(evidence, node, received)


def _value(computed: Computed) -> Array:
    return computed.value


def _gradients(evidence: Evidence, node: Node, computed: Computed) -> Gradients:
    return computed.backward(evidence.given[f"dactivation/{node.name}"])


def _parts(evidence: Evidence, node: Node, part: Part) -> Iterator[tuple[str, Found]]:
    """Yield one part of the node computed with each mistake, on demand."""
    for name, variant in node_variants(evidence, node):
        if isinstance(variant, Constant):
            read = variant.read if part is _value else _nothing
            yield name, Constant(read, partial(_of, part, variant.formula), variant.usual)
        else:
            yield name, partial(_of, part, variant)


def _of(part: Part, compute: Callable[..., Computed], *constant: float) -> Array:
    return part(compute(*constant))


def _nothing(found: Array) -> list[float]:
    """A gradient alone does not tell the constant."""
    return []


def node_variants(evidence: Evidence, node: Node) -> Variants:
    """Yield the node with each mistake, and with other inputs."""
    function = BY_OPERATION.get(node.operation)
    if function is not None:
        yield from function(evidence, node)
    yield from input_variants(evidence, node)


def _logits(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The value of the output's node, computed with each mistake."""
    graph = evidence.setting.network.graph
    name = graph.outputs["logits"]
    yield from _parts(evidence, next(n for n in graph.nodes if n.name == name), _value)


VALUES: dict[str, Values] = {
    "dense_logits": _logits,
    "sparse_logits": _logits,
    "activation": _activation,
    "dense_activation": _activation,
    "dactivation": _dactivation,
    "dsparse_weight": _dstored,
    "dparameter": _dstored,
}
