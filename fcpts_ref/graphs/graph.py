"""A network's structure: named inputs, a list of nodes in topological order, named outputs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from fcpts_ref.errors import InputError, counted, shown
from fcpts_ref.graphs.operations import OPERATIONS, Operation
from fcpts_ref.graphs.operations.operation import Stored
from fcpts_ref.memory import check_memory

Shape = tuple[int, ...]
IMAGES = "images"
"""The input's name in networks that read images."""
LOGITS = "logits"
"""The output's name in networks that classify."""
SCORES, BOXES = "scores", "boxes"
"""The outputs' names in networks that detect: logits (N, P, K) and codes of boxes (N, P, 4)."""


@dataclass(frozen=True)
class Node:
    """One node: its name, its operation, the values it reads, its attributes.

    Its arrays are named ``name.weight``, ``name.running_mean`` and so on.  ``attributes`` holds
    every attribute of the operation, defaults included.
    Raises InputError for an unknown operation or invalid attributes.
    """

    name: str
    operation: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise InputError(
                f"node {self.name!r} has the unknown operation {shown(self.operation)}; "
                f"expected one of {', '.join(OPERATIONS)}"
            )
        try:
            attributes = self.row.complete(self.attributes)
        except InputError as error:
            raise InputError(f"node {self.name!r} ({self.operation}) {error}") from error
        object.__setattr__(self, "attributes", MappingProxyType(attributes))

    def __reduce__(self) -> tuple[type[Node], tuple[Any, ...]]:
        """For copies: a read-only mapping cannot be copied by itself."""
        return Node, (self.name, self.operation, self.inputs, dict(self.attributes))

    @property
    def row(self) -> Operation:
        """The operation's row in ``OPERATIONS``."""
        return OPERATIONS[self.operation]

    @property
    def stored(self) -> dict[str, Stored]:
        """The node's arrays by full name."""
        return {f"{self.name}.{s}": a for s, a in self.row.stored(self.attributes).items()}


@dataclass(frozen=True)
class Source:
    """The file that a network was read from, without its weights: exporting writes it again.

    format: "onnx".  content: the file's bytes.  arrays: for each of the network's arrays, how it
    goes back into the file, as data that JSON can hold.  inserted: the node that the file does not
    have, the normalisation of its input; "" if there is none.
    """

    format: str
    content: bytes
    arrays: Mapping[str, Mapping[str, Any]]
    inserted: str = ""


@dataclass(frozen=True)
class Graph:
    """A network's structure.  Its values are the inputs and one per node, with the node's name.

    inputs: shapes without the batch, by name.  outputs: the name of a value by the output's name.
    source: the file that the whole graph was read from, if it is kept.
    Checked when made: names are unique, nodes read earlier values, every value is read or an
    output, and shapes fit.  Raises InputError otherwise.
    """

    name: str
    inputs: Mapping[str, Shape]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, str]
    source: Source | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))
        object.__setattr__(self, "outputs", MappingProxyType(dict(self.outputs)))
        if not self.nodes:
            raise InputError(f"network {self.name!r} has no nodes; expected at least one")
        known = set(self.inputs)
        for node in self.nodes:
            _check_names(node, known)
            known.add(node.name)
        self._check_outputs(known)
        _ = self.shapes

    def _check_outputs(self, known: set[str]) -> None:
        values = list(self.outputs.values())
        unknown = [value for value in values if value not in known]
        if not values or unknown or len(set(values)) < len(values):
            raise InputError(
                f"network {self.name!r} has outputs {dict(self.outputs)}; expected at least one, "
                "each the name of a different value"
            )
        unread = known - {name for node in self.nodes for name in node.inputs} - set(values)
        if unread:
            raise InputError(
                f"network {self.name!r} never reads {', '.join(sorted(unread))}; expected every "
                f"value but the outputs ({', '.join(values)}) to be read"
            )

    def __reduce__(self) -> tuple[type[Graph], tuple[Any, ...]]:
        """For copies, as ``Node``'s."""
        return Graph, (self.name, dict(self.inputs), self.nodes, dict(self.outputs), self.source)

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every value, without the batch: ``{"images": (3, 32, 32), ...}``."""
        shapes: dict[str, Shape] = dict(self.inputs)
        for node in self.nodes:
            inputs = [shapes[name] for name in node.inputs]
            try:
                shapes[node.name] = node.row.shape(inputs, node.attributes)
            except InputError as error:
                raise InputError(f"node {node.name!r} ({node.operation}): {error}") from error
        return shapes

    @cached_property
    def stored(self) -> dict[str, Stored]:
        """All arrays that the network stores, by name, in the order of the nodes."""
        return {name: array for node in self.nodes for name, array in node.stored.items()}

    @cached_property
    def parameter_shapes(self) -> dict[str, Shape]:
        """Shapes of the learned arrays, by name, in the order of the nodes."""
        return {name: array.shape for name, array in self.stored.items() if array.learned}

    @cached_property
    def buffer_shapes(self) -> dict[str, Shape]:
        """Shapes of the stored arrays that are not learned (running statistics, constants)."""
        return {name: array.shape for name, array in self.stored.items() if not array.learned}

    @cached_property
    def prunable(self) -> tuple[str, ...]:
        """Names of the weights that can be pruned (convention 14).

        The weight of every convolution and linear layer, first and last included, in the order of
        the nodes; never a bias, never batch norm.
        """
        return tuple(name for name, array in self.stored.items() if array.role == "weight")

    @cached_property
    def readers(self) -> dict[str, tuple[Node, ...]]:
        """The nodes that read each value, in order; a node that reads it twice is listed once."""
        readers: dict[str, list[Node]] = {name: [] for name in self.shapes}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return {name: tuple(nodes) for name, nodes in readers.items()}

    @property
    def input(self) -> str:
        """The name of the only input.  Raises InputError if there are several or none."""
        return self._only("inputs", self.inputs)

    @property
    def output(self) -> str:
        """The name of the only output.  Raises InputError if there are several."""
        return self._only("outputs", self.outputs)

    @property
    def input_shape(self) -> Shape:
        """The shape of the only input, without the batch."""
        return self.inputs[self.input]

    @property
    def output_shapes(self) -> dict[str, Shape]:
        """The shape of every output, without the batch."""
        return {name: self.shapes[value] for name, value in self.outputs.items()}

    @property
    def is_detector(self) -> bool:
        """Whether the outputs are those of a detector."""
        return set(self.outputs) == {SCORES, BOXES}

    @property
    def classes(self) -> int:
        """The number of logits; of a detector those of a prior, the background included.

        Raises InputError for another network.
        """
        if self.is_detector:
            return self.output_shapes[SCORES][-1]
        shape = self.shapes[self.outputs[self.output]]
        if len(shape) != 1:
            raise InputError(
                f"network {self.name!r} has an output of shape {shape}; expected one row of logits"
            )
        return shape[0]

    def between(
        self, sources: Iterable[str], targets: Iterable[str], *, name: str | None = None
    ) -> Graph:
        """The part that computes the values ``targets`` from the values ``sources``.

        The inputs and outputs of the part have the names of the values.
        Raises InputError for unknown values, or if a target needs an input that is no source.
        """
        sources, targets = tuple(sources), tuple(targets)
        unknown = [value for value in (*sources, *targets) if value not in self.shapes]
        if unknown:
            raise InputError(f"network {self.name!r} has no value {unknown[0]!r}")
        needed = set(targets) - set(sources)
        nodes = []
        for node in reversed(self.nodes):
            if node.name in needed:
                nodes.append(node)
                needed |= set(node.inputs) - set(sources)
        missing = needed & set(self.inputs)
        if missing:
            raise InputError(
                f"{', '.join(targets)} of network {self.name!r} need the input "
                f"{', '.join(sorted(missing))} too; expected only {', '.join(sources)}"
            )
        read = {value for node in nodes for value in node.inputs}
        return Graph(
            name or self.name,
            {value: self.shapes[value] for value in sources if value in read},
            tuple(reversed(nodes)),
            {value: value for value in targets},
        )

    def with_outputs(self, outputs: Mapping[str, str]) -> Graph:
        """The same nodes with additional outputs: names of values by the outputs' names."""
        return Graph(self.name, self.inputs, self.nodes, {**self.outputs, **outputs})

    def _only(self, kind: str, names: Mapping[str, Any]) -> str:
        if len(names) != 1:
            raise InputError(
                f"network {self.name!r} has the {kind} {', '.join(names) or 'none'}; expected one"
            )
        return next(iter(names))


def _check_names(node: Node, known: set[str]) -> None:
    arity = node.row.arity
    fits = len(node.inputs) == arity if arity is not None else len(node.inputs) >= 1
    if not fits or node.name in known or not known.issuperset(node.inputs):
        number = "at least 1" if arity is None else arity
        raise InputError(
            f"node {node.name!r} ({node.operation}) reads {str(node.inputs)[:80]}; expected the "
            f"names of {number} earlier nodes or inputs, and a name of its own"
        )


def check_batch(
    graph: Graph, images: int, itemsize: int, *, keep: bool, fewer: str = "images at a time"
) -> None:
    """Raise InputError if the values of a pass over ``images`` need more memory than is free.

    itemsize: bytes of a number.
    keep: all values are kept for a backward pass; else the two largest ones are counted.
    fewer: what to reduce, for the message.
    """
    sizes = sorted(math.prod(shape) for shape in graph.shapes.values())
    numbers = images * (sum(sizes) if keep else sum(sizes[-2:]))
    what = f"a pass of {counted(images, 'image')} through {graph.name[:80]!r}"
    check_memory(numbers * itemsize, what, f"use fewer {fewer}, or a smaller network")


def macs(graph: Graph) -> dict[str, int]:
    """Multiply-accumulates per image of every prunable weight, by its name."""
    result = {}
    for node in graph.nodes:
        weights = [name for name, array in node.stored.items() if array.role == "weight"]
        inputs = [graph.shapes[name] for name in node.inputs]
        for name in weights:
            result[name] = node.row.macs(inputs, graph.shapes[node.name], node.attributes)
    return result
