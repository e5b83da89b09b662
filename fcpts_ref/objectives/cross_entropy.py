"""Cross-entropy with labels, for methods that are trained as published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fcpts_ref.graphs.graph import Graph
from fcpts_ref.layers import cross_entropy_backward, cross_entropy_forward
from fcpts_ref.objectives.objective import Array, Arrays


@dataclass(frozen=True)
class CrossEntropy:
    """Minus the log-probability of the label, the mean over the batch.

    output: the name of the logits (N, classes).  In place of the dense network's outputs it is
    given labels (N,).
    """

    output: str
    memorable = True

    def outputs(self, graph: Graph) -> dict[str, str]:
        """The logits."""
        return {self.output: graph.outputs[self.output]}

    def loss_and_gradients(self, labels: Arrays, sparse: Arrays) -> tuple[Any, dict[str, Array]]:
        """Return the loss and its derivative with respect to the logits."""
        loss, cache = cross_entropy_forward(sparse[self.output], labels[self.output])
        return loss, {self.output: cross_entropy_backward(1.0, cache)}
