"""The matrix product of two values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.axes import sum_to, with_rank

Array = NDArray[Any]


def matmul_forward(a: Array, b: Array) -> tuple[Array, tuple[Any, ...]]:
    """y = a b for each image.

    a: (N, ..., I, J); b: (N, ..., J, K); the axes between are broadcast, after the batch aligned at
    the right.  Returns y (N, ..., I, K) and the cache.
    Raises InputError for shapes that do not fit.
    """
    fits = a.ndim >= 3 and b.ndim >= 3 and len(a) == len(b) and a.shape[-1] == b.shape[-2]
    rank = max(a.ndim, b.ndim) - 1
    wide_a, wide_b = with_rank(a, rank), with_rank(b, rank)
    if not fits or not _broadcasts(wide_a.shape[:-2], wide_b.shape[:-2]):
        raise InputError(
            f"matmul got a {a.shape} and b {b.shape}; expected (N, ..., I, J) and (N, ..., J, K)"
        )
    return wide_a @ wide_b, (wide_a, wide_b, a.shape, b.shape)


def matmul_backward(dy: Array, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return da = dy b' and db = a' dy, summed over the axes that were broadcast."""
    a, b, a_shape, b_shape = cache
    da = sum_to(dy @ b.swapaxes(-1, -2), a.shape)
    db = sum_to(a.swapaxes(-1, -2) @ dy, b.shape)
    return da.reshape(a_shape), db.reshape(b_shape)


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        return False
    return True
