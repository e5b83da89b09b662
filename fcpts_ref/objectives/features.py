"""Reconstruction of features: the squared error of values inside the network (convention 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.objectives.objective import Array, Arrays


@dataclass(frozen=True)
class Features:
    """The mean squared error over batch, channels and pixels, summed over the chosen values.

    layers: names of nodes; if empty, every residual addition, the end of each block.
    """

    layers: tuple[str, ...] = ()
    memorable = False  # feature maps of all calibration images do not fit in memory

    def outputs(self, graph: Graph) -> dict[str, str]:
        """The values, under their own names.  Raises InputError for unknown names."""
        names = self.layers or tuple(n.name for n in graph.nodes if n.operation == "add")
        known = {node.name for node in graph.nodes}
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            got = f"no layer {unknown[0]!r}" if unknown else "no residual additions"
            raise InputError(
                f"network {graph.name!r} has {got}; name the layers whose features are compared, "
                f"such as {graph.nodes[len(graph.nodes) // 2].name!r}"
            )
        return {name: name for name in names}

    def loss_and_gradients(self, dense: Arrays, sparse: Arrays) -> tuple[Any, dict[str, Array]]:
        """Return the loss, float64, and 2 (sparse - dense) / size for each value, in its dtype."""
        loss, gradients = 0.0, {}
        for name in dense:
            difference = sparse[name] - dense[name]
            loss += float(np.mean(np.square(difference, dtype=np.float64)))
            gradients[name] = difference * difference.dtype.type(2 / difference.size)
        return loss, gradients
