"""Mistakes in Equation 4: the loss, and its gradient by the sparse logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.special import log_softmax, softmax

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.divergences import Sides, batch_mean, divergences, sides_of
from fcpts_ref.oracle.mistakes.mistake import Values


def _losses(evidence: Evidence) -> Iterator[tuple[str, Array, Array]]:
    """Yield the loss with each mistake, and its gradient by the sparse logits."""
    T, right = evidence.conventions.temperature, sides_of(evidence)
    for name, factor in _factors(evidence, *right.dense.shape):
        loss, dlogits = right.divergence()
        yield name, factor * loss, factor * dlogits
    if T != 1:
        for name, sides, factor in (
            ("kl-without-temperature", sides_of(evidence, dense_T=False, sparse_T=False), 1.0),
            ("kl-temperature-on-dense", sides_of(evidence, sparse_T=False), T * T),
            ("kl-temperature-on-sparse", sides_of(evidence, dense_T=False), T * T),
            ("kl-probabilities-by-temperature", replace(right, T_dense=1.0, T_sparse=1.0), T),
            ("kl-temperature-squared", replace(right, T_dense=T * T, T_sparse=T * T), T * T),
            ("kl-times-temperature", replace(right, T_dense=1 / T, T_sparse=1 / T), T * T),
        ):
            loss, dlogits = sides.divergence()
            yield name, factor * loss, factor * dlogits
        yield from _temperature_late(evidence, T)
    for name, loss, dlog_q in divergences(right):
        yield name, T * T * loss, T * T * right.through(dlog_q)
    loss, dlogits = right.divergence()
    yield "kl-root", np.sqrt(T * T * loss), T * dlogits / (2 * np.sqrt(loss))
    yield "kl-softmax-of-softmax", *_softmax_twice(right, T)
    yield "kl-without-log-softmax", *_undivided(right, T)
    for axes in ((0, 0), (1, 0), (0, 1)):
        yield "kl-over-batch", *_over_batch(right, T, *axes)
    yield from _errors(right)


def _temperature_late(evidence: Evidence, T: float) -> Iterator[tuple[str, Array, Array]]:
    """Yield the divergence with log-probabilities that are divided by T, of one side or both."""
    plain, right = sides_of(evidence, False, False), sides_of(evidence)
    log_q, through = plain.log_q / T, plain.through
    for log_p in (right.log_p, plain.log_p / T):
        p = np.exp(log_p)
        yield (
            "kl-temperature-after-softmax",
            T * T * batch_mean(p * (log_p - log_q)),
            T * through(-p),
        )


def _factors(evidence: Evidence, B: int, K: int) -> Iterator[tuple[str, float]]:
    T = evidence.conventions.temperature
    if T != 1:
        yield "kl-without-T2", 1.0
        yield "kl-by-T", T
        yield "kl-by-T4", T**4
    yield "kl-sum-over-batch", T * T * B
    yield "kl-mean-over-classes", T * T / K
    yield "kl-base-2", T * T / math.log(2)
    yield "kl-sign", -T * T


def _softmax_twice(sides: Sides, T: float) -> tuple[Array, Array]:
    """The divergence of probabilities that are taken for logits."""
    p, q = softmax(sides.dense, axis=1), softmax(sides.sparse, axis=1)
    loss, dq = Sides(p, q, T, T).divergence()
    return T * T * loss, T * T * q * (dq - (q * dq).sum(axis=1, keepdims=True))


def _undivided(sides: Sides, T: float) -> tuple[Array, Array]:
    """The sparse logits in place of their log-softmax."""
    p = np.exp(sides.log_p)
    return T * T * batch_mean(p * (sides.log_p - sides.sparse / T)), -T * p / len(p)


def _over_batch(sides: Sides, T: float, dense: int, sparse: int) -> tuple[Array, Array]:
    """The softmax over these axes: 0, the images, or 1, the classes."""
    log_p = np.asarray(log_softmax(sides.dense / T, axis=dense))
    log_q = np.asarray(log_softmax(sides.sparse / T, axis=sparse))
    p, q = np.exp(log_p), np.exp(log_q)
    dlogits = q * p.sum(axis=sparse, keepdims=True) - p
    return T * T * batch_mean(p * (log_p - log_q)), T * dlogits / len(p)


def _errors(sides: Sides) -> Iterator[tuple[str, Array, Array]]:
    """Yield distances of the logits and of the probabilities."""
    p, q = np.exp(sides.log_p), np.exp(sides.log_q)
    difference = sides.sparse - sides.dense
    B, size = len(difference), difference.size
    yield "mse-logits", (difference**2).mean(), 2 * difference / size
    yield "mse-logits-summed", batch_mean(difference**2), 2 * difference / B
    yield "mse-logits-halved", (difference**2).mean() / 2, difference / size
    size_of = np.abs(difference)
    smooth = np.where(size_of < 1, difference**2 / 2, size_of - 0.5).mean()
    yield "smooth-l1-logits", smooth, np.clip(difference, -1, 1) / size
    yield "mae-logits", np.abs(difference).mean(), np.sign(difference) / size
    apart = sides.log_q - sides.log_p
    yield "mse-log-probabilities", (apart**2).mean(), sides.through(2 * apart) / p.shape[1]
    yield "mse-probabilities", ((p - q) ** 2).mean(), sides.through(2 * q * (q - p)) / p.shape[1]
    yield "cosine-logits", *_cosine(sides.dense, sides.sparse)


def _cosine(d: Array, s: Array) -> tuple[Array, Array]:
    """The mean over the batch of 1 - cos(dense, sparse)."""
    lengths = [np.sqrt((y * y).sum(axis=1, keepdims=True)) for y in (d, s)]
    d, s = d / lengths[0], s / lengths[1]
    cosine = (d * s).sum(axis=1, keepdims=True)
    return (1 - cosine).mean(), -(d - cosine * s) / lengths[1] / len(s)


def _reconstruction_loss(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    for name, loss, _ in _losses(evidence):
        yield name, loss


def _dsparse_logits(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    for name, _, dlogits in _losses(evidence):
        yield name, dlogits
    T, sides = evidence.conventions.temperature, sides_of(evidence)
    if T != 1:
        yield "dlogits-without-1/T", evidence.value * T
        q, p = softmax(sides.sparse, axis=1), softmax(sides.dense, axis=1)
        yield "dlogits-T-forgotten", (q - p) / len(q)
        yield "kl-temperature-on-dense", T / len(q) * (q - np.exp(sides.log_p))
        yield "kl-temperature-on-sparse", T / len(q) * (np.exp(sides.log_q) - p)


VALUES: dict[str, Values] = {
    "reconstruction_loss": _reconstruction_loss,
    "dsparse_logits": _dsparse_logits,
}
