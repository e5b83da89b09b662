"""Addition, subtraction, multiplication and division of two values, with broadcasting.

The shapes without the batch broadcast as NumPy's: they are aligned at their last axes, and a side
of 1 is repeated.  So weights (N, C, 1, 1) scale the channels of (N, C, H, W), and (N, W) its
columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.axes import sum_to, with_rank

Array = NDArray[Any]
Shape = tuple[int, ...]


def add_forward(a: Array, b: Array) -> tuple[Array, tuple[Any, ...]]:
    """a + b.  Returns y and the cache.  Raises InputError if the shapes do not broadcast."""
    a_full, b_full = _aligned(a, b)
    return a_full + b_full, (a.shape, b.shape)


def add_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return da and db: dy, summed where the value was repeated."""
    a_shape, b_shape = cache
    return _reduced(dy, a_shape), _reduced(dy, b_shape)


def subtract_forward(a: Array, b: Array) -> tuple[Array, tuple[Any, ...]]:
    """a - b.  Returns y and the cache.  Raises InputError if the shapes do not broadcast."""
    a_full, b_full = _aligned(a, b)
    return a_full - b_full, (a.shape, b.shape)


def subtract_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return da and db: dy and -dy, summed where the value was repeated."""
    a_shape, b_shape = cache
    return _reduced(dy, a_shape), _reduced(-dy, b_shape)


def multiply_forward(a: Array, b: Array) -> tuple[Array, tuple[Any, ...]]:
    """a b, element by element.

    Returns y and the cache.  Raises InputError if the shapes do not broadcast.
    """
    a_full, b_full = _aligned(a, b)
    return a_full * b_full, (a, b)


def multiply_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return da = dy b and db = dy a, summed where the value was repeated."""
    a, b = cache
    a_full, b_full = _aligned(a, b)
    return _reduced(dy * b_full, a.shape), _reduced(dy * a_full, b.shape)


def divide_forward(a: Array, b: Array) -> tuple[Array, tuple[Any, ...]]:
    """a / b, element by element.

    Returns y and the cache.  Raises InputError if the shapes do not broadcast.
    """
    a_full, b_full = _aligned(a, b)
    return a_full / b_full, (a, b)


def divide_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return da = dy / b and db = -dy a / b^2, summed where the value was repeated."""
    a, b = cache
    a_full, b_full = _aligned(a, b)
    da = dy / b_full
    return _reduced(da, a.shape), _reduced(-da * (a_full / b_full), b.shape)


def broadcast_shape(a: Shape, b: Shape) -> Shape:
    """The shape of the result, all without the batch.  Raises InputError if they do not fit."""
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise InputError(
            f"shapes {a} and {b} do not broadcast; expected equal sides, or 1, counted from the "
            "last axis"
        ) from None


def _aligned(a: Array, b: Array) -> tuple[Array, Array]:
    """Both with the same number of axes.  Raises InputError if the shapes do not broadcast."""
    if a.ndim == 0 or b.ndim == 0 or len(a) != len(b):
        raise InputError(f"got shapes {a.shape} and {b.shape}; expected the same batch")
    broadcast_shape(a.shape[1:], b.shape[1:])
    rank = max(a.ndim, b.ndim)
    return with_rank(a, rank - 1), with_rank(b, rank - 1)


def _reduced(gradient: Array, shape: Shape) -> Array:
    """Sum over the axes along which a value of this shape was repeated."""
    full = (shape[0], *(1,) * (gradient.ndim - len(shape)), *shape[1:])
    return sum_to(gradient, full).reshape(shape)
