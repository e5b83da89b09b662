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
    rates = tuple(
        real_number(value, name, "a finite number")
        for value, name in (
            (learning_rate, "learning_rate"),
            (momentum, "momentum"),
            (weight_decay, "weight_decay"),
        )
    )
    arrays = parameter, gradient, velocity, factor
    if not _have_kernel(arrays):
        check_alike(parameter=parameter, gradient=gradient, velocity=velocity, mask=factor)
        return specification.sgd_step(
            parameter,
            gradient if mask is None else gradient * mask,
            velocity,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )
    dtype, shape = parameter.dtype, parameter.shape
    new, new_velocity = np.empty(shape, dtype), np.empty(shape, dtype)
    flat = tuple(array.reshape(-1) for array in (*arrays, new, new_velocity))
    constants = (mask is not None, *map(dtype.type, rates), nesterov)
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
