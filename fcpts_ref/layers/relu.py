"""ReLU and ReLU6.  At their kinks (0, and 6) the derivative is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def _real(x: Array) -> Array:
    return np.asarray(x.real if np.iscomplexobj(x) else x)
