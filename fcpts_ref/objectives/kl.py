"""Equation 4 as an objective: the Kullback-Leibler divergence of the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import LOGITS, Graph
from fcpts_ref.objectives.objective import Array, Arrays
from fcpts_ref.spec import equations


@dataclass(frozen=True)
class KLDivergence:
    """KL(softmax(dense / T) || softmax(sparse / T)) T^2, the mean over the batch (convention 5).

    output: the name of the logits (N, classes).
    """

    temperature: float = 1.0
    output: str = LOGITS
    memorable = True

    def outputs(self, graph: Graph) -> dict[str, str]:
        """The logits.  Raises InputError for a graph without them."""
        if self.output not in graph.outputs:
            raise InputError(
                f"network {graph.name!r} has the outputs {', '.join(graph.outputs)}; "
                f"Equation 4 compares {self.output!r}"
            )
        return {self.output: graph.outputs[self.output]}

    def loss_and_gradients(self, dense: Arrays, sparse: Arrays) -> tuple[Any, dict[str, Array]]:
        """Return Equation 4 and its derivative with respect to the sparse logits."""
        logits = dense[self.output], sparse[self.output]
        loss = equations.reconstruction_loss(*logits, temperature=self.temperature)
        dlogits = equations.reconstruction_loss_gradient(*logits, temperature=self.temperature)
        return loss, {self.output: dlogits}
