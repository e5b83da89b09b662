"""One step of the learned methods, and the step after which their masks stay.

Each step replaces the weights W by effective weights W~ that depend on learned arrays (thresholds
or scores), compares the outputs with those of the dense network (Equation 4), and descends in the
parameters and in the learned arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.pruning.learned.rule import LearnedRule
from fcpts_ref.pruning.learned.state import (
    KEPT,
    REACHED,
    Array,
    Arrays,
    Effective,
    Gradients,
    State,
    frozen_masks,
)
from fcpts_ref.pruning.micro_batches import accumulated, is_accumulated
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH
from fcpts_ref.spec.optim import warmup_cosine


def step(
    rule: LearnedRule,
    problem: Problem,
    state: State,
    steps: int,
    images: Array,
    dense: Arrays | None,
    generator: np.random.Generator,
) -> tuple[State, dict[str, Any]]:
    conventions = rule.conventions
    progress = state.step / steps
    warmup = min(conventions.warmup_epochs * (steps // max(rule.epochs, 1)), steps)
    factor = warmup_cosine(state.step, steps, warmup) * len(images) / LEARNING_RATE_BATCH
    weights = {name: state.parameters[name] for name in problem.prunable}
    masks = frozen_masks(state)
    if masks:
        now = _masked(weights, masks)
    else:
        now = rule.effective(problem, state.learned, weights, progress, generator)
    loss, gradients, buffers = _reconstruction(rule, problem, state, now, images, dense)
    deffective = {name: gradients[name] for name in weights}
    if masks:
        found = Gradients({n: deffective[n] * mask for n, mask in masks.items()}, {})
    else:
        found = rule.gradients(problem, state.learned, weights, now, deffective)
    gradients |= dict(found.weights)
    parameters, velocities = {}, {}
    for name, parameter in state.parameters.items():
        parameters[name], velocities[name] = problem.arithmetic.sgd_step(
            parameter, gradients[name], state.velocities[name],
            learning_rate=conventions.learning_rate * factor, momentum=conventions.momentum,
            weight_decay=conventions.weight_decay, nesterov=conventions.nesterov,
        )  # fmt: skip
    new = replace(
        state, step=state.step + 1, parameters=parameters, velocities=velocities,
        buffers=buffers,
    )  # fmt: skip
    learned, moments = new.learned, new.moments
    if not masks:
        learned, moments = rule.descend(problem, new, found.learned, factor, new.step / steps)
    if not all(np.isfinite(array).all() for array in (*parameters.values(), *learned.values())):
        raise InputError(f"{rule.symbol} diverged at step {state.step}; lower its learning rates")
    sizes = np.array(list(problem.sizes.values()))
    record = {
        "reconstruction_loss": float(loss),
        "penalty": found.penalty,
        "total_loss": float(loss) + found.penalty,
        "global_rate": float((now.rates * sizes).sum() / sizes.sum()),
        "rates": now.rates,
        "learning_rate_factor": factor,
    }
    new = replace(new, learned=learned, moments=moments)
    return new if masks else rule.settled(problem, new), record


def _reconstruction(
    rule: LearnedRule,
    problem: Problem,
    state: State,
    now: Effective,
    images: Array,
    dense: Arrays | None,
) -> tuple[float, dict[str, Array], dict[str, Array]]:
    """Return L_rec (Equation 4), the gradients of the parameters, and the new buffers."""
    conventions, graph = rule.conventions, problem.network.graph
    parameters = {**state.parameters, **now.weights}
    objective = rule.compares(graph)
    teacher_trains = conventions.teacher_batch_norm == "training"
    if is_accumulated(problem, rule.micro_batch, images):
        loss, gradients = accumulated(
            problem, parameters, state.buffers, images,
            dense or (lambda part: problem.dense_on(part, training=teacher_trains)),
            objective, micro_batch=rule.micro_batch or len(images), weight_gradient="all",
        )  # fmt: skip
        return loss, gradients, dict(state.buffers)
    if dense is None:
        dense = problem.dense_on(images, training=teacher_trains)
    passed = problem.student.forward(
        parameters, state.buffers, {graph.input: images},
        training=conventions.student_batch_norm == "training", keep=True, sparse=True,
    )  # fmt: skip
    names = objective.outputs(graph)
    loss, doutputs = objective.loss_and_gradients(
        {name: dense[name] for name in names}, {name: passed.outputs[name] for name in names}
    )
    gradients = problem.student.backward(passed, doutputs)
    return float(loss), gradients, dict(passed.buffers)


def frozen(
    rule: LearnedRule, problem: Problem, state: State, generator: np.random.Generator
) -> State:
    """Return the state with its masks fixed, and pruned weights set to 0."""
    masks = rule.choose_masks(problem, state, generator)
    weights = {
        name: np.where(mask, rule.hardened(state.parameters[name], mask), 0).astype(
            problem.network.dtype
        )
        for name, mask in masks.items()
    }
    kept = {f"{KEPT}{name}": mask.astype(np.uint8) for name, mask in masks.items()}
    reached = {REACHED: np.array(rule.reached(problem, state))}
    return replace(
        state,
        parameters={**state.parameters, **weights},
        learned={**state.learned, **kept, **reached},
    )


def _masked(weights: Arrays, masks: Mapping[str, NDArray[np.bool_]]) -> Effective:
    rates = [1 - np.count_nonzero(mask) / mask.size for mask in masks.values()]
    sparse = {name: weights[name] * mask for name, mask in masks.items()}
    return Effective(sparse, np.array(rates), {})
