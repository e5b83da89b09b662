"""Softmax and losses on Numba kernels: rows of logits, one sweep each.

Functions, arguments, results and errors as in ``fcpts_ref.layers.softmax`` and ``.losses``, for
float32 and float64; sums are taken in float64, row by row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.jit.compilation import compiled
from fcpts_ref.errors import InputError

Array = NDArray[Any]
Cache = tuple[Any, ...]


def softmax_forward(x: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.softmax_forward``."""
    p = _by_row(_softmax, x)
    return p, (p,)


def softmax_backward(dp: Array, cache: Cache) -> Array:
    """As ``fcpts_ref.layers.softmax_backward``."""
    return _by_row(_softmax_gradient, dp, cache[0])


def log_softmax_forward(x: Array) -> tuple[Array, Cache]:
    """As ``fcpts_ref.layers.log_softmax_forward``."""
    log_p = _by_row(_log_softmax, x)
    return log_p, (log_p,)


def log_softmax_backward(dlog_p: Array, cache: Cache) -> Array:
    """As ``fcpts_ref.layers.log_softmax_backward``."""
    return _by_row(_log_softmax_gradient, dlog_p, cache[0])


def cross_entropy_forward(logits: Array, labels: NDArray[np.integer[Any]]) -> tuple[Any, Cache]:
    """As ``fcpts_ref.layers.cross_entropy_forward``."""
    N, K = logits.shape
    if labels.shape != (N,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}; expected ({N},) integers"
        )
    if N == 0 or labels.min() < 0 or labels.max() >= K:
        raise InputError(f"labels run outside [0, {K}) or are empty; the logits have {K} classes")
    log_p, _ = log_softmax_forward(logits)
    chosen = log_p[np.arange(N), labels]
    return log_p.dtype.type(-chosen.mean(dtype=np.float64)), (labels, log_p)


def cross_entropy_backward(dloss: float, cache: Cache) -> Array:
    """As ``fcpts_ref.layers.cross_entropy_backward``."""
    labels, log_p = cache
    dlogits = np.exp(log_p)
    dlogits[np.arange(len(labels)), labels] -= 1
    return np.asarray(dlogits * log_p.dtype.type(dloss / len(labels)))


def kl_divergence_forward(
    dense_logits: Array, sparse_logits: Array, *, temperature: float = 1.0
) -> tuple[Any, Cache]:
    """As ``fcpts_ref.layers.kl_divergence_forward``."""
    T = sparse_logits.dtype.type(temperature)
    log_p, _ = log_softmax_forward(dense_logits / T)
    log_q, _ = log_softmax_forward(sparse_logits / T)
    per_image = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    return per_image.mean() * T * T, (log_p, log_q, T)


def kl_divergence_backward(dloss: float, cache: Cache) -> tuple[Array, Array]:
    """As ``fcpts_ref.layers.kl_divergence_backward``."""
    log_p, log_q, T = cache
    p = np.exp(log_p)
    scale = log_p.dtype.type(dloss * T / log_p.shape[0])
    ddense = log_softmax_backward(scale * p * (log_p - log_q + 1), (log_p,))
    return ddense, scale * (np.exp(log_q) * p.sum(axis=-1, keepdims=True) - p)


def _by_row(kernel: Any, *arrays: Array) -> Array:
    """The kernel over the last axis of arrays of one shape."""
    first = arrays[0]
    if first.dtype not in (np.float32, np.float64) or first.ndim == 0 or first.shape[-1] == 0:
        raise InputError(
            f"softmax got shape {first.shape} and dtype {first.dtype}; expected float32 or float64 "
            "with at least one class"
        )
    result = np.empty(first.shape, first.dtype)
    rows = -1, first.shape[-1]
    if first.size:
        kernel(*(np.ascontiguousarray(a).reshape(rows) for a in arrays), result.reshape(rows))
    return result


@compiled
def _log_sum(row: Any) -> Any:
    """The greatest value, and log sum exp of what is left after it is subtracted."""
    top = row[0]
    for k in range(1, row.size):
        if row[k] > top or np.isnan(row[k]):
            top = row[k]
    total = 0.0
    for k in range(row.size):
        total += math.exp(row[k] - top)
    return top, math.log(total)


@compiled
def _log_softmax(x: Any, log_p: Any) -> None:
    for n in range(x.shape[0]):
        top, rest = _log_sum(x[n])
        for k in range(x.shape[1]):
            log_p[n, k] = x[n, k] - top - rest


@compiled
def _softmax(x: Any, p: Any) -> None:
    for n in range(x.shape[0]):
        top, rest = _log_sum(x[n])
        for k in range(x.shape[1]):
            p[n, k] = math.exp(x[n, k] - top - rest)


@compiled
def _log_softmax_gradient(dlog_p: Any, log_p: Any, dx: Any) -> None:
    for n in range(dx.shape[0]):
        total = 0.0
        for k in range(dx.shape[1]):
            total += dlog_p[n, k]
        for k in range(dx.shape[1]):
            dx[n, k] = dlog_p[n, k] - math.exp(log_p[n, k]) * total


@compiled
def _softmax_gradient(dp: Any, p: Any, dx: Any) -> None:
    for n in range(dx.shape[0]):
        total = 0.0
        for k in range(dx.shape[1]):
            total += p[n, k] * dp[n, k]
        for k in range(dx.shape[1]):
            dx[n, k] = p[n, k] * (dp[n, k] - total)
