"""Sigmoid, hard sigmoid and tanh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow: exp is taken of -|x|."""
    negative = x.real < 0
    z = np.exp(np.where(negative, x, -x))
    return np.asarray(np.where(negative, z, x.dtype.type(1)) / (1 + z))


def sigmoid_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """1 / (1 + exp(-x)), any shape.  Returns y and the cache."""
    y = sigmoid(x)
    return y, (y,)


def sigmoid_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dy y (1 - y)."""
    (y,) = cache
    return np.asarray(dy * (y * (1 - y)))


def hard_sigmoid_forward(
    x: Array, *, alpha: float = 1 / 6, beta: float = 0.5
) -> tuple[Array, tuple[Any, ...]]:
    """min(max(alpha x + beta, 0), 1), any shape; NaN stays NaN.  Returns y and the cache."""
    z = x.dtype.type(alpha) * x + x.dtype.type(beta)
    y = np.where(z.real <= 0, x.dtype.type(0), np.where(z.real >= 1, x.dtype.type(1), z))
    return y, ((z.real > 0) & (z.real < 1), alpha)


def hard_sigmoid_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: alpha dy where 0 < alpha x + beta < 1, else 0."""
    inside, alpha = cache
    return np.asarray(np.where(inside, dy.dtype.type(alpha) * dy, dy.dtype.type(0)))


def tanh_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """The hyperbolic tangent, any shape.  Returns y and the cache."""
    y = np.tanh(x)
    return y, (y,)


def tanh_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dy (1 - y^2)."""
    (y,) = cache
    return np.asarray(dy * (1 - y * y))
