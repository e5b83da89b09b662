"""Optimisers as pure functions of a parameter and its state; the learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_alike, check_choice, real_number, whole_number
from fcpts_ref.errors import InputError

Array = NDArray[Any]
Cosine = Literal["after warm-up", "all steps"]
RateUpdate = Literal["before the step", "after the step"]


def sgd_step(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> tuple[Array, Array]:
    """One step of stochastic gradient descent with momentum (convention 16).

    g = gradient + weight_decay * parameter;  v = momentum * velocity + g;
    parameter - learning_rate * (g + momentum * v if nesterov else v).
    The velocity starts at 0 and does not contain the learning rate (PyTorch's convention).

    parameter, gradient, velocity: the same shape.  Returns the new parameter and velocity.
    Raises InputError for arrays of other shapes or types, and rates that are not finite numbers.
    """
    check_alike(parameter=parameter, gradient=gradient, velocity=velocity)
    for value, name in (
        (learning_rate, "learning_rate"),
        (momentum, "momentum"),
        (weight_decay, "weight_decay"),
    ):
        real_number(value, name, "a finite number")
    v = momentum * velocity + (gradient + weight_decay * parameter)
    moved = sgd_move(
        parameter,
        gradient,
        v,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov,
    )
    return moved, v


def sgd_move(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """Return the parameter that ``sgd_step`` returns, from the velocity that it returns."""
    g = gradient + weight_decay * parameter
    return parameter - learning_rate * (g + momentum * velocity if nesterov else velocity)


def adam_step(
    parameter: Array,
    gradient: Array,
    first: Array,
    second: Array,
    step: int,
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Array, Array, Array]:
    """One step of Adam (Kingma and Ba, 2015, algorithm 1); weight decay is added to the gradient.

    parameter - learning_rate * m / (sqrt(v) + epsilon); m and v are the bias-corrected first and
    second.

    first, second: running means of the gradient and its square, 0 before step 1; step: from 1.
    Returns the new parameter, first and second.  Raises InputError for a step below 1.
    """
    if whole_number(step, "Adam's step") < 1:
        raise InputError(f"Adam's step is {step}; expected to count from 1")
    check_alike(parameter=parameter, gradient=gradient, first=first, second=second)
    real_number(learning_rate, "learning_rate", "a finite number")
    beta1, beta2 = betas
    g = gradient + weight_decay * parameter
    first = beta1 * first + (1 - beta1) * g
    second = beta2 * second + (1 - beta2) * g * g
    corrected_first = first / (1 - beta1**step)
    corrected_second = second / (1 - beta2**step)
    update = corrected_first / (np.sqrt(corrected_second) + epsilon)
    return parameter - learning_rate * update, first, second


def warmup_cosine(
    step: int,
    steps: int,
    warmup: int,
    cosine: Cosine = "after warm-up",
    update: RateUpdate = "before the step",
) -> float:
    """The learning-rate factor at ``step`` (from 0) of ``steps``: linear warm-up, then cosine.

    It grows linearly over the first ``warmup`` steps as (step + 1) / warmup, so it is never 0; then
    it falls as half a cosine from 1 at step ``warmup`` towards 0, which it would reach at step
    ``steps`` (convention 16).  With cosine="all steps" the half cosine begins at step 0, and the
    warm-up hides its first part.  With update="after the step" the warm-up is step / warmup and a
    step has the factor of the step before it, as with timm's scheduler called after each step: if
    there is a warm-up, steps 0 and 1 do not move.
    Raises InputError for a step outside [0, steps) or a negative warm-up.
    """
    for value, name in ((step, "step"), (steps, "steps"), (warmup, "warmup")):
        whole_number(value, name)
    if not 0 <= step < steps or warmup < 0:
        raise InputError(
            f"schedule got step {step} of {steps} with warm-up {warmup}; "
            "expected 0 <= step < steps and a warm-up of at least 0"
        )
    check_choice(cosine, "cosine", get_args(Cosine))
    check_choice(update, "update", get_args(RateUpdate))
    late = update == "after the step"
    step = max(step - 1, 0) if late else step
    if step < warmup:
        return (step if late else step + 1) / warmup
    first = warmup if cosine == "after warm-up" else 0
    return 0.5 * (1 + math.cos(math.pi * (step - first) / (steps - first)))
