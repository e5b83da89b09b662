"""SiLU (swish) and hard swish: x times its sigmoid, or times its hard sigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.layers.sigmoid import hard_sigmoid_backward, hard_sigmoid_forward, sigmoid

Array = NDArray[Any]


def silu_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """x sigmoid(x), any shape.  Returns y and the cache."""
    s = sigmoid(x)
    return x * s, (x, s)


def silu_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dy s (1 + x (1 - s)), with s = sigmoid(x)."""
    x, s = cache
    return np.asarray(dy * (s * (1 + x * (1 - s))))


def hard_swish_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """x h(x) with the hard sigmoid h = min(max(x / 6 + 1/2, 0), 1), any shape.

    Returns y and the cache.
    """
    h, cache = hard_sigmoid_forward(x)
    return x * h, (x, h, cache)


def hard_swish_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dy (h + x h'): 0 at -3 and below, dy at 3 and above."""
    x, h, inner = cache
    return np.asarray(dy * h + hard_sigmoid_backward(dy * x, inner))
