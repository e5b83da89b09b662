"""Values and stored arrays of the nodes, as the mistakes in layers need them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.graphs.graph import Node
from fcpts_ref.graphs.operations.pooling import MAX_ATTRIBUTES
from fcpts_ref.oracle.evidence import Array, Evidence


def value_of(evidence: Evidence, name: str) -> Array:
    """Return a node's value in the network that the evidence is about, or its input."""
    assert evidence.inputs is not None
    prefix = "dense_activation" if evidence.dense else "activation"
    return (
        evidence.inputs.images
        if name in evidence.setting.network.graph.inputs
        else evidence.given[f"{prefix}/{name}"]
    )


def stored_of(evidence: Evidence, node: Node) -> dict[str, Array]:
    """Return the node's arrays by their short names."""
    prefix = f"{node.name}."
    return {
        name.removeprefix(prefix): array
        for name, array in evidence.stored.items()
        if name.startswith(prefix) and "." not in name.removeprefix(prefix)
    }


def run_forward(evidence: Evidence, node: Node, changed: dict[str, Array]) -> tuple[Array, Any]:
    """Run the node with some of its arrays replaced; return its value and its cache."""
    c = evidence.conventions
    mode = c.teacher_batch_norm if evidence.dense else c.student_batch_norm
    x = [value_of(evidence, name) for name in node.inputs]
    stored = stored_of(evidence, node) | changed
    y, _, cache = node.row.forward(x, stored, node.attributes, mode == "training")
    return np.asarray(y), cache


def input_gradient(evidence: Evidence, node: Node) -> list[Array]:
    """Return the gradients that a node sends to its inputs."""
    _, cache = run_forward(evidence, node, {})
    dinputs, _ = node.row.backward(evidence.given[f"dactivation/{node.name}"], cache)
    return [np.asarray(dinput) for dinput in dinputs]


def window_of(node: Node) -> dict[str, Any]:
    """Return the settings of a pooling node's windows."""
    return {name: node.attributes[name] for name in MAX_ATTRIBUTES}


def wide(per_channel: Array) -> Array:
    """Return (C,) as (C, 1, 1)."""
    return per_channel[:, np.newaxis, np.newaxis]
