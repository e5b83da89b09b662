"""Softmax and its logarithm over one axis, shifted by the maximum against overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.layers.axes import array_axis

Array = NDArray[Any]


def softmax_forward(x: Array, *, axis: int = -1) -> tuple[Array, tuple[Any, ...]]:
    """exp(x) / sum exp(x).  x: (N, ...).  Returns p and the cache.

    axis: that of the sum, counted without the batch; negative from the end.
    Raises InputError for an axis that x does not have.
    """
    axis = array_axis(axis, x.ndim - 1)
    e = np.exp(x - _shift(x, axis))
    p = e / e.sum(axis=axis, keepdims=True)
    return p, (p, axis)


def softmax_backward(dp: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = p (dp - sum p dp)."""
    p, axis = cache
    return np.asarray(p * (dp - (p * dp).sum(axis=axis, keepdims=True)))


def log_softmax_forward(x: Array, *, axis: int = -1) -> tuple[Array, tuple[Any, ...]]:
    """x - log sum exp(x).  x: (N, ...); axis: as in softmax.  Returns log p and the cache."""
    axis = array_axis(axis, x.ndim - 1)
    shifted = x - _shift(x, axis)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return log_p, (log_p, axis)


def log_softmax_backward(dlog_p: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dlog_p - p sum dlog_p."""
    log_p, axis = cache
    return np.asarray(dlog_p - np.exp(log_p) * dlog_p.sum(axis=axis, keepdims=True))


def _shift(x: Array, axis: int) -> Array:
    """The maximum of the real parts: a constant as far as derivatives are concerned."""
    real = x.real if np.iscomplexobj(x) else x
    return np.asarray(real.max(axis=axis, keepdims=True))
