"""The gradient of a step from parts of its batch, run one after the other in less memory.

Objectives are means over the images, and every image passes through the network by itself, so the
gradients of the parts, weighted by their share of the images, add up to the gradient of the batch:
equal up to rounding.  Batch norm in training mode is the exception, since it normalises an image by
the statistics of its whole batch; it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightGradient
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.objectives.objective import Objective
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.spec.conventions import Conventions

Array = NDArray[Any]
Arrays = Mapping[str, Array]


def check_divisible(graph: Graph, conventions: Conventions) -> None:
    """Raise InputError for a network whose batch norm is in training mode."""
    modes = conventions.student_batch_norm, conventions.teacher_batch_norm
    if "training" in modes and any(node.operation == "batch_norm" for node in graph.nodes):
        raise InputError(
            f"micro_batch divides batches, and network {graph.name!r} has batch norm, which in "
            "training mode needs the statistics of the whole batch: leave micro_batch out, or "
            "choose student_batch_norm=evaluation and teacher_batch_norm=evaluation"
        )


def accumulated(
    problem: Problem,
    parameters: Arrays,
    buffers: Arrays,
    images: Array,
    dense: Arrays | Callable[[Array], Arrays],
    objective: Objective,
    *,
    micro_batch: int,
    weight_gradient: WeightGradient,
) -> tuple[float, dict[str, Array]]:
    """Return L_rec and the gradient of every parameter by name.

    parameters: of the student, pruned.  images: (B, ...).  dense: the dense network's outputs for
    them, or the function that computes them for a part.
    """
    graph, loss = problem.network.graph, 0.0
    gradients: dict[str, Array] = {}
    for start in range(0, len(images), micro_batch):
        some = slice(start, start + micro_batch)
        part = images[some]
        if callable(dense):
            known = dense(part)
        else:
            known = {name: output[some] for name, output in dense.items()}
        passed = problem.student.forward(
            parameters, buffers, {graph.input: part}, training=False, keep=True, sparse=True
        )
        compared = objective.outputs(graph)
        one, doutputs = objective.loss_and_gradients(
            {name: known[name] for name in compared},
            {name: passed.outputs[name] for name in compared},
        )
        share = len(part) / len(images)
        loss += share * float(one)
        scaled = {name: dy * dy.dtype.type(share) for name, dy in doutputs.items()}
        found = problem.student.backward(passed, scaled, weight_gradient=weight_gradient)
        for name, gradient in found.items():
            if name in gradients:
                np.add(gradients[name], gradient, out=gradients[name])
            else:
                gradients[name] = gradient
    return loss, gradients
