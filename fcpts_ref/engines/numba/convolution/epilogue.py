"""What is done to a sum before it is stored: bias, residual and activation in one pass."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.jit.compilation import compiled_part
from fcpts_ref.engines.numba.pointwise.activation import clamp
from fcpts_ref.engines.numba.simd.register_tiles import broadcast_as, load_as
from fcpts_ref.engines.numba.simd.vectors import add

Array = NDArray[Any]


class Epilogue(NamedTuple):
    """The end of a sum: clamp(sum + bias[k] (+ residual), bounds), see ``activation``.

    bias: (K,); residual: the target itself or a buffer like it; bounds: (2,).
    """

    bias: Array
    has_residual: bool
    residual: Array
    bounds: Array


def make_epilogue(
    target: Array, bias: Array | None, residual: Array | None, bounds: tuple[float, float]
) -> Epilogue:
    """The epilogue of a kernel that writes to target (N, K, PLANE)."""
    dtype = target.dtype
    return Epilogue(
        _zeros(target.shape[1], dtype) if bias is None else bias,
        residual is not None,
        target if residual is None else residual,
        _as_array(bounds, dtype),
    )


@cache
def _zeros(size: int, dtype: DTypeLike) -> Array:
    return np.zeros(size, dtype)


@cache
def _as_array(bounds: tuple[float, float], dtype: DTypeLike) -> Array:
    return np.array(bounds, dtype)


@compiled_part
def finished(value: Any, epilogue: Any, row: int, here: int) -> Any:
    """A vector of sums of output channel ``row``, which goes to ``here``, after the epilogue."""
    if epilogue.has_residual:
        value = add(value, load_as(value, epilogue.residual, here))
    value = add(value, broadcast_as(value, epilogue.bias, row))
    low = broadcast_as(value, epilogue.bounds, 0)
    high = broadcast_as(value, epilogue.bounds, 1)
    return clamp(value, low, high)
