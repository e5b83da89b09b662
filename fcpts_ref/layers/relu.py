"""ReLU, ReLU6, clip and leaky ReLU: activations of straight pieces.

At a kink the derivative is that of the flat piece, 0; leaky ReLU's at 0 is its slope.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]


def relu_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """max(x, 0), any shape; NaN stays NaN.  A complex x follows its real part.

    Returns y and the cache.
    """
    return np.where(_real(x) <= 0, x.dtype.type(0), x), (_real(x) > 0,)


def relu_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy where x > 0, else 0."""
    (passed,) = cache
    return np.where(passed, dy, dy.dtype.type(0))


def relu6_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """min(max(x, 0), 6), any shape; NaN stays NaN.  Returns y and the cache."""
    real = _real(x)
    y = np.where(real <= 0, x.dtype.type(0), np.where(real >= 6, x.dtype.type(6), x))
    return y, ((real > 0) & (real < 6),)


def relu6_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy where 0 < x < 6, else 0."""
    return relu_backward(dy, cache)


def clip_forward(x: Array, *, low: float, high: float) -> tuple[Array, tuple[Any, ...]]:
    """min(max(x, low), high), any shape; NaN stays NaN.  Returns y and the cache.

    Raises InputError unless low <= high.
    """
    if not low <= high:
        raise InputError(f"clip got low {low} and high {high}; expected low <= high")
    real = _real(x)
    y = np.where(real <= low, x.dtype.type(low), np.where(real >= high, x.dtype.type(high), x))
    return y, ((real > low) & (real < high),)


def clip_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy where low < x < high, else 0."""
    return relu_backward(dy, cache)


def leaky_relu_forward(x: Array, *, slope: float = 0.01) -> tuple[Array, tuple[Any, ...]]:
    """x where x > 0, else slope x, any shape; NaN stays NaN.  Returns y and the cache."""
    positive = _real(x) > 0
    return np.where(positive, x, x.dtype.type(slope) * x), (positive, slope)


def leaky_relu_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy where x > 0, else slope dy."""
    positive, slope = cache
    return np.where(positive, dy, dy.dtype.type(slope) * dy)


def _real(x: Array) -> Array:
    return np.asarray(x.real if np.iscomplexobj(x) else x)
