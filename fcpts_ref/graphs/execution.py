"""Execution of a graph in NumPy: forward visits the nodes in order, backward in reverse.

No tape and no tracing: the graph is the program.  The fast engine is checked against this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph, Node, check_batch

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Observe = Callable[[str, Any], Any]
"""Called with a name and a value; a value that it returns takes the place of this one."""


@dataclass(frozen=True)
class Pass:
    """One forward pass: its outputs, the buffers after it, and the caches that backward reads."""

    outputs: Arrays  # (N, ...) by the outputs' names
    buffers: Arrays
    caches: Mapping[str, Any]
    parameters: Arrays


def forward(
    graph: Graph,
    parameters: Arrays,
    buffers: Arrays,
    inputs: Arrays,
    *,
    training: bool,
    observe: Observe | None = None,
) -> Pass:
    """Run every node in turn.

    inputs: (N, ...) by name.  training: the mode of batch norm; the new running statistics are in
    ``Pass.buffers``, and ``buffers`` is not changed.  ``observe(name, value)`` is called with every
    node's value in the order of computation, and may return another value to continue with.
    """
    first = next(iter(inputs.values()))
    check_batch(graph, len(first), first.dtype.itemsize, keep=True)
    values: dict[str, Array] = {name: inputs[name] for name in graph.inputs}
    caches: dict[str, Any] = {}
    new_buffers = dict(buffers)
    for node in graph.nodes:
        read = [values[name] for name in node.inputs]
        stored = stored_of(node, parameters, buffers)
        value, changed, cache = node.row.forward(read, stored, node.attributes, training)
        values[node.name], caches[node.name] = observed(observe, node.name, value), cache
        new_buffers |= {f"{node.name}.{short}": array for short, array in changed.items()}
    outputs = {name: values[value] for name, value in graph.outputs.items()}
    return Pass(outputs, new_buffers, caches, dict(parameters))


def backward(
    graph: Graph, passed: Pass, doutputs: Arrays, *, observe: Observe | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the gradients of the parameters and those of the inputs, by name.

    doutputs: (N, ...) by the outputs' names; an output that is left out has no gradient.
    If a value has several readers, its gradient as an output comes first, then its readers' are
    added in reverse order.  ``observe(name, dvalue)`` is called for every node, last to first, and
    may return another gradient to continue with.
    Raises InputError for an output that the graph does not have.
    """
    dvalues = {value_of(graph, name): doutput for name, doutput in doutputs.items()}
    gradients: dict[str, Array] = {}
    for node in reversed(graph.nodes):
        dvalue = dvalues.pop(node.name, None)
        if dvalue is None:  # no output depends on it
            continue
        dvalue = observed(observe, node.name, dvalue)
        dinputs, dparameters = node.row.backward(dvalue, passed.caches[node.name])
        for name, dinput in zip(node.inputs, dinputs, strict=True):
            dvalues[name] = dvalues[name] + dinput if name in dvalues else dinput
        gradients |= {f"{node.name}.{short}": array for short, array in dparameters.items()}
    return gradients, dvalues


def observed(observe: Observe | None, name: str, value: Any) -> Any:
    """Report a value; return the one to continue with."""
    instead = None if observe is None else observe(name, value)
    return value if instead is None else instead


def value_of(graph: Graph, output: str) -> str:
    """The name of the value that an output returns.  Raises InputError for an unknown output."""
    if output not in graph.outputs:
        raise InputError(
            f"network {graph.name!r} has no output {output!r}; expected one of "
            f"{', '.join(graph.outputs)}"
        )
    return graph.outputs[output]


def stored_of(node: Node, parameters: Arrays, buffers: Arrays) -> dict[str, Array]:
    """The node's arrays by their short names."""
    return {
        short: (parameters if array.learned else buffers)[f"{node.name}.{short}"]
        for short, array in node.row.stored(node.attributes).items()
    }
