"""The mean over chosen axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.axes import array_axis

Array = NDArray[Any]


def mean_forward(
    x: Array, *, axes: Sequence[int], keepdims: bool = True
) -> tuple[Array, tuple[Any, ...]]:
    """The mean over axes (0: the first after the batch).

    keepdims: whether the axes stay, with one element each.  Returns y and the cache.
    Raises InputError for axes that x does not have, that are named twice or have no elements.
    """
    where = mean_axes(x.shape[1:], axes)
    return x.mean(axis=where, keepdims=keepdims), (x.shape, where)


def mean_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: each dy is distributed evenly over its elements."""
    x_shape, where = cache
    kept = tuple(1 if i in where else side for i, side in enumerate(x_shape))
    count = dy.dtype.type(math.prod(x_shape[i] for i in where))
    return np.broadcast_to((dy / count).reshape(kept), x_shape).copy()


def mean_axes(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The axes of an array (N, *shape).  Raises InputError as ``mean_forward``."""
    where = tuple(sorted(array_axis(axis, len(shape)) for axis in axes))
    if len(set(where)) < len(where) or not all(shape[i - 1] for i in where):
        raise InputError(
            f"mean over axes {tuple(axes)} of {tuple(shape)}: expected different axes that have "
            "elements"
        )
    return where
