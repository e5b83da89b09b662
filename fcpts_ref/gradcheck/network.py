"""A network of one input and one output as one function of its images and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fcpts_ref.gradcheck.pair import Array, Pair
from fcpts_ref.graphs import execution
from fcpts_ref.graphs.graph import Graph


def make_network_pair(
    graph: Graph,
    parameters: Mapping[str, Array],
    buffers: Mapping[str, Array],
    images: Array,
    *,
    training: bool,
) -> tuple[Pair, list[Array]]:
    """Return the pair and its inputs, images first, for ``check_gradients`` by complex step.

    A complex step is so small that it crosses no kink of ReLU or max pooling.
    """
    names = (graph.input, *parameters)

    def forward(*inputs: Array) -> tuple[Array, execution.Pass]:
        images, *values = inputs
        given = dict(zip(names[1:], values, strict=True))
        passed = execution.forward(graph, given, buffers, {graph.input: images}, training=training)
        return passed.outputs[graph.output], passed

    def backward(doutput: Array, passed: Any) -> tuple[Array, ...]:
        gradients, dinputs = execution.backward(graph, passed, {graph.output: doutput})
        return tuple((gradients | dinputs)[name] for name in names)

    return Pair(graph.name, forward, backward, names), [images, *parameters.values()]
