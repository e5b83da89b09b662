"""Running a graph in NumPy: forward walks the nodes, backward walks them in reverse.

No tape and no tracing: the graph is the program.  This is the specification that the fast engine
is checked against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.graphs.graph import IMAGES, Graph, Node
from fcpts_ref.graphs.operations import OPERATIONS

Array = NDArray[Any]
Observe = Callable[[str, Array], None]


@dataclass(frozen=True)
class Pass:
    """One forward pass: the logits, the buffers after it, and what backward needs."""

    logits: Array  # (N, classes)
    buffers: Mapping[str, Array]
    caches: Mapping[str, Any]
    parameters: Mapping[str, Array]


def forward(
    graph: Graph,
    parameters: Mapping[str, Array],
    buffers: Mapping[str, Array],
    images: Array,
    *,
    training: bool,
    observe: Observe | None = None,
) -> Pass:
    """Every node in turn.

    images: (N, C, H, W) in [0, 1].  ``training`` is batch norm's; the new running statistics are
    in ``Pass.buffers``, the given ones stay as they are.  ``observe(name, value)`` is called with
    every node's value in the order in which it is computed.
    """
    values: dict[str, Array] = {IMAGES: images}
    caches: dict[str, Any] = {}
    new_buffers = dict(buffers)
    for node in graph.nodes:
        operation = OPERATIONS[node.operation]
        stored = _stored(node, operation.parameters(node.attributes), parameters)
        stored |= _stored(node, operation.buffers(node.attributes), buffers)
        value, changed, caches[node.name] = operation.forward(
            [values[name] for name in node.inputs], stored, node.attributes, training
        )
        values[node.name] = value
        new_buffers |= {f"{node.name}.{short}": array for short, array in changed.items()}
        if observe is not None:
            observe(node.name, value)
    return Pass(values[graph.nodes[-1].name], new_buffers, caches, dict(parameters))


def backward(
    graph: Graph, passed: Pass, dlogits: Array, *, observe: Observe | None = None
) -> dict[str, Array]:
    """The gradients by name of every parameter, and of the images under "images".

    dlogits: (N, classes).  Where a value fans out, the gradients of its readers are added in the
    reverse order of the nodes.  ``observe(name, dvalue)`` is called for every node, last to first.
    """
    dvalues: dict[str, Array] = {graph.nodes[-1].name: dlogits}
    gradients: dict[str, Array] = {}
    for node in reversed(graph.nodes):
        dvalue = dvalues.pop(node.name, None)
        if dvalue is None:  # nobody reads it
            continue
        if observe is not None:
            observe(node.name, dvalue)
        dinputs, dparameters = OPERATIONS[node.operation].backward(dvalue, passed.caches[node.name])
        for name, dinput in zip(node.inputs, dinputs, strict=True):
            dvalues[name] = dvalues[name] + dinput if name in dvalues else dinput
        gradients |= {f"{node.name}.{short}": array for short, array in dparameters.items()}
    return gradients | {IMAGES: dvalues[IMAGES]}


def _stored(node: Node, shapes: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {short: arrays[f"{node.name}.{short}"] for short in shapes}
