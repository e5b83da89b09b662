"""Softmax and its logarithm over the last axis, shifted by the maximum against overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def softmax_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """exp(x) / sum exp(x).  x: (..., K).  Returns p and the cache."""
    e = np.exp(x - _shift(x))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, (p,)


def softmax_backward(dp: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = p (dp - sum p dp)."""
    (p,) = cache
    return np.asarray(p * (dp - (p * dp).sum(axis=-1, keepdims=True)))


def log_softmax_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """x - log sum exp(x).  x: (..., K).  Returns log p and the cache."""
    shifted = x - _shift(x)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_p, (log_p,)


def log_softmax_backward(dlog_p: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx = dlog_p - p sum dlog_p."""
    (log_p,) = cache
    return np.asarray(dlog_p - np.exp(log_p) * dlog_p.sum(axis=-1, keepdims=True))


def _shift(x: Array) -> Array:
    """The maximum of the real parts: a constant as far as derivatives are concerned."""
    real = x.real if np.iscomplexobj(x) else x
    return np.asarray(real.max(axis=-1, keepdims=True))
