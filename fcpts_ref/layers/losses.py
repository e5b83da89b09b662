"""Losses on logits: cross-entropy with labels, and the KL divergence from a teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.layers.softmax import log_softmax_backward, log_softmax_forward

Array = NDArray[Any]


def cross_entropy_forward(
    logits: Array, labels: NDArray[np.integer[Any]]
) -> tuple[Any, tuple[Any, ...]]:
    """-log p[label], the mean over the batch, in nats.

    logits: (N, K); labels: (N,) integers in [0, K).  Returns the loss and the cache.
    Raises InputError for labels that do not fit.
    """
    if logits.ndim != 2:
        raise InputError(f"logits have shape {logits.shape}; expected (N, K)")
    N, K = logits.shape
    if labels.shape != (N,) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}; expected ({N},) integers"
        )
    if N == 0 or labels.min() < 0 or labels.max() >= K:
        raise InputError(
            f"labels run outside [0, {K}) or are empty; the logits have "
            f"{counted(K, 'class', 'classes')}"
        )
    log_p, cache = log_softmax_forward(logits)
    return -log_p[np.arange(N), labels].mean(), (labels, log_p.shape, cache)


def cross_entropy_backward(dloss: float, cache: tuple[Any, ...]) -> Array:
    """Return dlogits (N, K), dloss (p - one-hot) / N."""
    labels, (N, K), inner = cache
    dlog_p = np.zeros((N, K), dtype=inner[0].dtype)
    dlog_p[np.arange(N), labels] = -dloss / N
    return log_softmax_backward(dlog_p, inner)


def kl_divergence_forward(
    dense_logits: Array, sparse_logits: Array, *, temperature: float = 1.0
) -> tuple[Any, tuple[Any, ...]]:
    """KL(softmax(dense / T) || softmax(sparse / T)) T^2, the mean over the batch, in nats.

    Equation 4 as a layer, differentiable with respect to both logits; ``spec.equations`` has the
    same loss as a single formula.

    Both (N, K).  Returns the loss and the cache.
    Raises InputError for shapes that do not fit.
    """
    if dense_logits.ndim != 2 or dense_logits.shape != sparse_logits.shape:
        raise InputError(
            f"KL divergence got logits {dense_logits.shape} and {sparse_logits.shape}; expected "
            "(N, K) twice"
        )
    T = temperature
    log_p, p_cache = log_softmax_forward(dense_logits / T)
    log_q, q_cache = log_softmax_forward(sparse_logits / T)
    per_image = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
    return per_image.mean() * T * T, (log_p, log_q, p_cache, q_cache, T)


def kl_divergence_backward(dloss: float, cache: tuple[Any, ...]) -> tuple[Array, Array]:
    """Return ddense_logits and dsparse_logits, both (N, K) (derived in docs/derivations.md)."""
    log_p, log_q, p_cache, q_cache, T = cache
    p = np.exp(log_p)
    scale = dloss * T / log_p.shape[0]  # T^2 from the loss, 1/T from logits / T
    ddense = log_softmax_backward(scale * p * (log_p - log_q + 1), p_cache)
    dsparse = log_softmax_backward(-scale * p, q_cache)
    return ddense, dsparse
