"""``fcpts_ref.spec.optim.sgd_step`` in one sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import real_number
from fcpts_ref.engines.numba.jit.compilation import compiled
from fcpts_ref.engines.numba.jit.share import sweep
from fcpts_ref.engines.numba.tuning import SWEEP_PIECE
from fcpts_ref.spec import optim as specification

Array = NDArray[Any]


def sgd_step(
    parameter: Array,
    gradient: Array,
    velocity: Array,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    threads: int | None = None,
) -> tuple[Array, Array]:
    """The function of ``fcpts_ref.spec.optim``.

    threads: default all; the result does not depend on them.
    """
    if not _have_kernel(parameter, gradient, velocity):
        return specification.sgd_step(
            parameter,
            gradient,
            velocity,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )
    number, expected = parameter.dtype.type, "a finite number"
    constants = (
        number(real_number(learning_rate, "learning_rate", expected)),
        number(real_number(momentum, "momentum", expected)),
        number(real_number(weight_decay, "weight_decay", expected)),
        nesterov,
    )
    new, new_velocity = np.empty(parameter.shape, number), np.empty(parameter.shape, number)
    flat = (
        parameter.reshape(-1),
        gradient.reshape(-1),
        velocity.reshape(-1),
        new.reshape(-1),
        new_velocity.reshape(-1),
    )
    sweep(_sgd, flat, constants, piece=SWEEP_PIECE, threads=threads)
    return new, new_velocity


def _have_kernel(parameter: Any, gradient: Any, velocity: Any) -> bool:
    """Whether these are arrays of one shape and of one dtype that the kernel has."""
    return (
        type(parameter) is type(gradient) is type(velocity) is np.ndarray
        and parameter.shape == gradient.shape == velocity.shape
        and parameter.dtype == gradient.dtype == velocity.dtype
        and parameter.dtype in (np.float32, np.float64)
    )


@compiled
def _sgd(
    parameter: Any, gradient: Any, velocity: Any, new: Any, new_velocity: Any,
    learning_rate: Any, momentum: Any, weight_decay: Any, nesterov: bool,
) -> None:  # fmt: skip
    for i in range(parameter.size):
        g = gradient[i] + weight_decay * parameter[i]
        v = momentum * velocity[i] + g
        new_velocity[i] = v
        new[i] = parameter[i] - learning_rate * (g + momentum * v if nesterov else v)
