"""A graph written by hand, node after node."""

from __future__ import annotations

from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import IMAGES, LOGITS, Graph, Node, Shape
from fcpts_ref.graphs.operations import OPERATIONS

# Attributes that follow from the shape of the value read: (name, axis of that shape).
INFERRED = (("channels", 0), ("in_channels", 0), ("in_features", -1))


class GraphBuilder:
    """A graph that grows by one node a call; every call returns the name of the node's value.

    ::

        net = GraphBuilder("small", (3, 32, 32))
        x = net.add("normalise", net.images)
        x = net.add("convolution", x, name="conv1", out_channels=16, kernel=3, padding=1)
        x = net.add("relu", net.add("batch_norm", x, name="bn1"))
        x = net.add("global_average_pool", x)
        graph = net.graph(net.add("linear", x, name="fc", out_features=10))
    """

    def __init__(self, name: str, input_shape: Shape = (3, 32, 32), *, images: str = IMAGES):
        """Begin a graph that reads one input, ``images``, of this shape without the batch."""
        self.name = name
        self.images = images
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {images: tuple(input_shape)}

    def add(self, operation: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Append a node and return the name of its value.

        inputs: names of the values that it reads.  name: the first part of the names of its arrays
        (``conv1`` of ``conv1.weight``); by default the operation's, numbered where it is taken.
        attributes: those of the operation; channels, in_channels and in_features may be left out.
        Raises InputError if the operation does not exist, does not have these attributes, or cannot
        read values of these shapes.
        """
        name = self._free_name(operation) if name is None else name
        unknown = [value for value in inputs if value not in self.shapes]
        if unknown or name in self.shapes:
            raise InputError(
                f"node {name!r} ({operation}) reads {inputs}; expected names of earlier values, "
                "and a name of its own"
            )
        node = Node(name, operation, inputs, self._inferred(operation, inputs, attributes))
        # A graph of one node: everything that Graph checks, at the line that is wrong.
        read = {value: self.shapes[value] for value in inputs}
        self.shapes[name] = Graph(self.name, read, (node,), {name: name}).shapes[name]
        self.nodes.append(node)
        return name

    def graph(self, logits: str | None = None, **outputs: str) -> Graph:
        """Return the graph; its outputs are values by name, ``logits`` by default the last node.

        Raises InputError if a value is never read, or an output is not one.
        """
        if logits is None and not outputs and self.nodes:
            logits = self.nodes[-1].name
        named = ({} if logits is None else {LOGITS: logits}) | outputs
        return Graph(self.name, {self.images: self.shapes[self.images]}, tuple(self.nodes), named)

    def _inferred(
        self, operation: str, inputs: tuple[str, ...], given: dict[str, Any]
    ) -> dict[str, Any]:
        """The given attributes, and sizes that the first input's shape decides."""
        row = OPERATIONS.get(operation)
        if row is None or not inputs or not self.shapes[inputs[0]]:
            return given
        shape = self.shapes[inputs[0]]
        return {name: shape[axis] for name, axis in INFERRED if name in row.attributes} | given

    def _free_name(self, operation: str) -> str:
        number, name = 1, operation
        while name in self.shapes:
            number += 1
            name = f"{operation}{number}"
        return name
