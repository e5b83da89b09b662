"""The gradient of a step from parts of its batch, run one after the other in less memory.

Objectives are means over the images, and every image passes through the network by itself, so the
gradients of the parts, weighted by their share of the images, add up to the gradient of the batch:
equal up to rounding.  Batch norm in training mode is the exception, since it normalises an image by
the statistics of its whole batch: then engines divide the batch (``engines.micro_batches``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightGradient
from fcpts_ref.engines.micro_batches import MicroBatchEngine
from fcpts_ref.objectives.objective import Objective
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.spec.conventions import Conventions

Array = NDArray[Any]
Arrays = Mapping[str, Array]

MICRO_BATCH = (
    "images of a step that are run at a time, so that it needs less memory; batch norm in training "
    "mode still has the statistics of the whole batch (default: all)"
)
"""The help of the setting ``micro_batch`` of methods."""


def in_micro_batches(
    problem: Problem, micro_batch: int | None, conventions: Conventions
) -> Problem:
    """Return the problem with engines that divide batches, if batch norm is in training mode."""
    modes = conventions.student_batch_norm, conventions.teacher_batch_norm
    graph = problem.network.graph
    norms = any(node.operation == "batch_norm" for node in graph.nodes)
    if micro_batch is None or "training" not in modes or not norms:
        return problem
    student, teacher = (
        problem.make_engine(one.graph) for one in (problem.student, problem.teacher)
    )
    return replace(
        problem,
        student=MicroBatchEngine(student, micro_batch),
        teacher=MicroBatchEngine(teacher, micro_batch),
    )


def is_accumulated(problem: Problem, micro_batch: int | None, images: Array) -> bool:
    """Return whether gradients of parts have to be added up for a batch of images."""
    divides = isinstance(problem.student, MicroBatchEngine)
    return micro_batch is not None and micro_batch < len(images) and not divides


def parts_of(problem: Problem, micro_batch: int | None, images: Array) -> list[Array]:
    """Return a batch of images, or of their indices, in the parts that passes run one by one."""
    size = len(images)
    if micro_batch is not None and is_accumulated(problem, micro_batch, images):
        size = micro_batch
    return [images[start : start + size] for start in range(0, len(images), size)]


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
