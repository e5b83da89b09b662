"""An ONNX graph while it is written: its nodes, and its initialisers by our arrays' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.interchange.onnx.library import onnx_library

Array = NDArray[Any]

OPSET: Final = 18
IR_VERSION: Final = {18: 8, 19: 9, 22: 10}
"""The format's version that belongs to an opset."""


class Builder:
    """Collects nodes; every value has the name of the node of ours that makes it."""

    def __init__(self, graph: Graph, arrays: Mapping[str, Array]) -> None:
        self.graph = graph
        self.arrays = arrays
        self.opset = OPSET
        self.nodes: list[Any] = []
        self.initialisers: dict[str, Array] = {}
        self.helper = onnx_library().helper

    def add(self, kind: str, inputs: Sequence[str], output: str, **settings: Any) -> str:
        """Append a node and return its output's name, which is the node's name too."""
        self.nodes.append(self.helper.make_node(kind, inputs, [output], output, **settings))
        return output

    def constant(self, name: str, values: Any, dtype: Any = np.int64) -> str:
        """Add an initialiser that is no array of the network, and return its name."""
        self.initialisers[name] = np.array(values, dtype)
        return name

    def number(self, name: str, value: float) -> str:
        """Add one number in the network's dtype, and return its name."""
        return self.constant(name, value, self.dtype)

    def array(self, node: Node, short: str) -> str:
        """Add one of the node's arrays under its own name, and return the name."""
        name = f"{node.name}.{short}"
        self.initialisers[name] = self.arrays[name]
        return name

    def reshaped_array(self, node: Node, short: str, shape: Sequence[int]) -> str:
        """As ``array``, in another shape."""
        name = f"{node.name}.{short}"
        self.initialisers[name] = self.arrays[name].reshape(shape)
        return name

    def require(self, opset: int) -> None:
        """Use at least this opset."""
        self.opset = max(self.opset, opset)

    def rank(self, value: str) -> int:
        """The number of axes without the batch."""
        return len(self.graph.shapes[value])

    def aligned(self, node: Node, rank: int) -> list[str]:
        """Return the node's inputs, those of fewer axes with sizes of 1 after the batch."""
        result = []
        for number, read in enumerate(node.inputs):
            missing = rank - self.rank(read)
            if missing > 0:
                stem = f"{node.name}.input{number}"
                axes = self.constant(f"{stem}.axes", range(1, missing + 1))
                result.append(self.add("Unsqueeze", [read, axes], stem))
            else:
                result.append(read)
        return result

    @property
    def dtype(self) -> np.dtype[Any]:
        """The network's dtype; float32 for one without arrays."""
        return next((array.dtype for array in self.arrays.values()), np.dtype(np.float32))
