"""``fcpts_ref.spec.optim.sgd_step`` in one sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_alike, real_number
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
    mask: Array | None = None,
    threads: int | None = None,
) -> tuple[Array, Array]:
    """One step of SGD, as in ``fcpts_ref.spec.optim``; returns the new parameter and velocity.

    mask: multiplies the gradient first (Equation 2's share in dL/dW), of the same shape.
    threads: default all; the result does not depend on them.
    Raises InputError for arrays of other shapes or types, and rates that are not finite numbers.
    """
    factor = gradient if mask is None else mask
    rate = real_number(learning_rate, "learning_rate", "a finite number")
    inertia = real_number(momentum, "momentum", "a finite number")
    decay = real_number(weight_decay, "weight_decay", "a finite number")
    arrays = parameter, gradient, velocity, factor
    if not _have_kernel(arrays):
        check_alike(parameter=parameter, gradient=gradient, velocity=velocity, mask=factor)
        return specification.sgd_step(
            parameter,
            gradient if mask is None else gradient * mask,
            velocity,
            learning_rate=rate,
            momentum=inertia,
            weight_decay=decay,
            nesterov=nesterov,
        )
    dtype, shape = parameter.dtype, parameter.shape
    new, new_velocity = np.empty(shape, dtype), np.empty(shape, dtype)
    w, g, v, m = (
        parameter.reshape(-1),
        gradient.reshape(-1),
        velocity.reshape(-1),
        factor.reshape(-1),
    )
    flat = w, g, v, m, new.reshape(-1), new_velocity.reshape(-1)
    number = dtype.type
    constants = mask is not None, number(rate), number(inertia), number(decay), nesterov
    sweep(_sgd, flat, constants, piece=SWEEP_PIECE, threads=threads)
    return new, new_velocity


def _have_kernel(arrays: tuple[Any, ...]) -> bool:
    """Whether these are arrays of one shape and of one dtype that the kernel has."""
    first = arrays[0]
    for array in arrays:
        if type(array) is not np.ndarray or array.shape != first.shape:
            return False
        if array.dtype != first.dtype or array.dtype.char not in "fd" or not array.dtype.isnative:
            return False
    return True


@compiled
def _sgd(
    parameter: Any, gradient: Any, velocity: Any, mask: Any, new: Any, new_velocity: Any,
    masked: bool, learning_rate: Any, momentum: Any, weight_decay: Any, nesterov: bool,
) -> None:  # fmt: skip
    for i in range(parameter.size):
        g = gradient[i] * mask[i] if masked else gradient[i]
        g = g + weight_decay * parameter[i]
        v = momentum * velocity[i] + g
        new_velocity[i] = v
        new[i] = parameter[i] - learning_rate * (g + momentum * v if nesterov else v)
