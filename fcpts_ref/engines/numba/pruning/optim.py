"""``fcpts_ref.spec.optim.sgd_step`` in one sweep."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import check_alike, real_number
from fcpts_ref.engines.numba.jit.compilation import compiled
from fcpts_ref.engines.numba.jit.share import pieces, share
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
) -> tuple[Array, Array]:
    """One step of SGD, as in ``fcpts_ref.spec.optim``; returns the new parameter and velocity.

    mask: multiplies the gradient first (Equation 2's share in dL/dW), of the same shape.
    Raises InputError for arrays of other shapes or types, and rates that are not finite numbers.
    """
    factor = gradient if mask is None else mask
    check_alike(parameter=parameter, gradient=gradient, velocity=velocity, mask=factor)
    settings: dict[str, Any] = {
        "learning_rate": real_number(learning_rate, "learning_rate", "a finite number"),
        "momentum": real_number(momentum, "momentum", "a finite number"),
        "weight_decay": real_number(weight_decay, "weight_decay", "a finite number"),
    }
    dtypes = {np.asarray(array).dtype for array in (parameter, gradient, velocity, factor)}
    if len(dtypes) > 1 or dtypes.isdisjoint({np.dtype(np.float32), np.dtype(np.float64)}):
        masked = gradient if mask is None else gradient * mask
        return specification.sgd_step(parameter, masked, velocity, nesterov=nesterov, **settings)
    dtype, shape = parameter.dtype, parameter.shape
    new, new_velocity = np.empty(shape, dtype), np.empty(shape, dtype)
    flat = [array.reshape(-1) for array in (parameter, gradient, velocity, factor)]
    results = [array.reshape(-1) for array in (new, new_velocity)]
    rates = (dtype.type(rate) for rate in (learning_rate, momentum, weight_decay))
    constants = (mask is not None, *rates, nesterov)
    parts = pieces(parameter.size, SWEEP_PIECE)

    def sweep(i: int) -> None:
        given, made = ([array[parts[i]] for array in group] for group in (flat, results))
        _sgd(*given, *constants, *made)

    share(len(parts), sweep)
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
