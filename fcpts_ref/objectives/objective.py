"""The interface of objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph

Array = NDArray[Any]
Arrays = Mapping[str, Array]


class Objective(Protocol):
    """L_rec of Equation 5: a loss between the dense and the sparse network's outputs."""

    @property
    def memorable(self) -> bool:
        """Whether the dense outputs are small enough to be kept for all calibration images."""

    def outputs(self, graph: Graph) -> dict[str, str]:
        """The outputs that are compared: values of the graph by name.

        Raises InputError for a graph that does not have them.
        """

    def loss_and_gradients(self, dense: Arrays, sparse: Arrays) -> tuple[Any, dict[str, Array]]:
        """Return the loss and its gradient with respect to each of the sparse network's outputs.

        dense, sparse: (N, ...) by name, one shape and dtype.
        """
