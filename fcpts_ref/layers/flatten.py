"""Flattening of images to rows."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def flatten_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """(N, ...) -> (N, product of the rest), row-major.  Returns y and the cache."""
    features = 1
    for side in x.shape[1:]:
        features *= side
    return x.reshape(x.shape[0], features), (x.shape,)


def flatten_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dy in the shape of x."""
    (x_shape,) = cache
    return dy.reshape(x_shape)
