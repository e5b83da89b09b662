"""The SGD update in one sweep: the twin of ``fcpts_ref.optim.sgd_step``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

from .compilation import compiled

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
) -> tuple[Array, Array]:
    """One step of SGD, as ``fcpts_ref.optim.sgd_step``; returns the new parameter and velocity.

    mask: multiplies the gradient first (Equation 2's share in dL/dW), of the same shape.
    All of one shape and dtype, float32 or float64.  Raises InputError otherwise.
    """
    others = (gradient, velocity) if mask is None else (gradient, velocity, mask)
    dtype, shape = parameter.dtype, parameter.shape
    if dtype not in (np.float32, np.float64) or any(
        a.shape != shape or a.dtype != dtype for a in others
    ):
        raise InputError(
            f"SGD got {shape} {dtype} and "
            f"{', '.join(f'{a.shape} {a.dtype}' for a in others)}; expected one shape and dtype, "
            "float32 or float64"
        )
    new, new_velocity = np.empty(shape, dtype), np.empty(shape, dtype)
    flat = (np.ascontiguousarray(a).reshape(-1) for a in (parameter, gradient, velocity))
    settings = (dtype.type(v) for v in (learning_rate, momentum, weight_decay))
    factor = gradient if mask is None else mask
    _sgd(
        *flat, np.ascontiguousarray(factor).reshape(-1), mask is not None, *settings, nesterov,
        new.reshape(-1), new_velocity.reshape(-1),
    )  # fmt: skip
    return new, new_velocity


@compiled
def _sgd(
    parameter: Any, gradient: Any, velocity: Any, mask: Any, masked: bool,
    learning_rate: Any, momentum: Any, weight_decay: Any, nesterov: bool,
    new: Any, new_velocity: Any,
) -> None:  # fmt: skip
    for i in range(parameter.size):
        g = gradient[i] * mask[i] if masked else gradient[i]
        g = g + weight_decay * parameter[i]
        v = momentum * velocity[i] + g
        new_velocity[i] = v
        new[i] = parameter[i] - learning_rate * (g + momentum * v if nesterov else v)
