"""Mistakes in Equation 4: the loss, and its gradient by the sparse logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_softmax, softmax

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values

OFFSETS = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True)
class _Sides:
    """Log-probabilities (B, K) of both sides, each at its own temperature."""

    dense: Array
    sparse: Array
    T_dense: float
    T_sparse: float

    @property
    def log_p(self) -> Array:
        return np.asarray(log_softmax(self.dense / self.T_dense, axis=1))

    @property
    def log_q(self) -> Array:
        return np.asarray(log_softmax(self.sparse / self.T_sparse, axis=1))

    def through(self, dlog_q: Array) -> Array:
        """The mean over the batch, differentiated by the sparse logits, from dloss/dlog_q."""
        q = np.exp(self.log_q)
        dlogits = dlog_q - q * dlog_q.sum(axis=1, keepdims=True)
        return np.asarray(dlogits / self.T_sparse / len(q))

    def divergence(self) -> tuple[Array, Array]:
        """KL(p || q), averaged over the batch, and its gradient by the sparse logits."""
        p = np.exp(self.log_p)
        return _mean(p * (self.log_p - self.log_q)), self.through(-p)


def _sides(evidence: Evidence, dense_T: bool = True, sparse_T: bool = True) -> _Sides:
    T = evidence.conventions.temperature
    dense, sparse = evidence.given["dense_logits"], evidence.given["sparse_logits"]
    return _Sides(dense, sparse, T if dense_T else 1.0, T if sparse_T else 1.0)


def _mean(terms: Array) -> Array:
    return np.asarray(terms.sum(axis=1).mean())


def _losses(evidence: Evidence) -> Iterator[tuple[str, Array, Array]]:
    """Yield the loss with each mistake, and its gradient by the sparse logits."""
    T, right = evidence.conventions.temperature, _sides(evidence)
    for name, factor in _factors(evidence, *right.dense.shape):
        loss, dlogits = right.divergence()
        yield name, factor * loss, factor * dlogits
    if T != 1:
        for name, sides, factor in (
            ("kl-without-temperature", _sides(evidence, dense_T=False, sparse_T=False), 1.0),
            ("kl-temperature-on-dense", _sides(evidence, sparse_T=False), T * T),
            ("kl-temperature-on-sparse", _sides(evidence, dense_T=False), T * T),
            ("kl-probabilities-by-temperature", replace(right, T_dense=1.0, T_sparse=1.0), T),
            ("kl-temperature-squared", replace(right, T_dense=T * T, T_sparse=T * T), T * T),
            ("kl-times-temperature", replace(right, T_dense=1 / T, T_sparse=1 / T), T * T),
        ):
            loss, dlogits = sides.divergence()
            yield name, factor * loss, factor * dlogits
        yield from _temperature_late(evidence, T)
    for name, loss, dlog_q in _divergences(right):
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
    plain, right = _sides(evidence, False, False), _sides(evidence)
    log_q, through = plain.log_q / T, plain.through
    for log_p in (right.log_p, plain.log_p / T):
        p = np.exp(log_p)
        yield "kl-temperature-after-softmax", T * T * _mean(p * (log_p - log_q)), T * through(-p)


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


def _divergences(sides: _Sides) -> Iterator[tuple[str, Array, Array]]:
    """Yield losses of the probabilities, and their derivatives by log q."""
    log_p, log_q = sides.log_p, sides.log_q
    p, q = np.exp(log_p), np.exp(log_q)
    backwards, dbackwards = q * (log_q - log_p), q * (log_q - log_p + 1)
    forwards = p * (log_p - log_q)
    yield "kl-swapped", _mean(backwards), dbackwards
    for text, images in _weights(forwards.sum(axis=1)):
        yield f"kl-reduced={text}", np.asarray(forwards.sum(axis=1) @ images), -p * _wide(images)
    yield "kl-symmetric", _mean(forwards + backwards), dbackwards - p
    yield "kl-symmetric", _mean(forwards + backwards) / 2, (dbackwards - p) / 2
    yield "kl-cross-entropy", -_mean(p * log_q), -p
    middle = np.log((p + q) / 2)
    both = p * (log_p - middle) + q * (log_q - middle)
    yield "kl-jensen-shannon", _mean(both) / 2, 0.5 * q * (log_q - middle)
    yield from _misused(sides)
    hard = np.eye(p.shape[1])[sides.dense.argmax(axis=1)]
    yield "kl-hard-labels", -_mean(hard * log_q), -hard
    K = p.shape[1]
    for share in (0.01, 0.02, 0.05, 0.1, 0.2):
        even = (1 - share) * p + share / K
        yield f"kl-smoothed={share:g}", _mean(even * (np.log(even) - log_q)), -even
        yield f"kl-smoothed={share:g}", -_mean(even * log_q), -even
    for e in OFFSETS:
        inside = -p * q / (q + e)
        yield "kl-offset", _mean(p * (np.log(p + e) - np.log(q + e))), inside
        yield "kl-offset-sparse", _mean(p * (log_p - np.log(q + e))), inside
    for e in (*OFFSETS, 0.01, 0.05, 0.1):
        seen = np.maximum(q, e)
        yield "kl-clamped", _mean(p * (log_p - np.log(seen))), np.where(q > e, -p, 0.0)


def _misused(sides: _Sides) -> Iterator[tuple[str, Array, Array]]:
    """Yield kl_div with other arguments than log q and p, and their derivatives by log q."""
    log_p, log_q = sides.log_p, sides.log_q
    p, q, direct = np.exp(log_p), np.exp(log_q), np.ones_like(log_q)
    for first, read, slope in (("log q", log_q, direct), ("q", q, q)):
        for second, target in (("p", p), ("log p", log_p), ("Y_dense", sides.dense)):
            yield (
                f"kl-arguments=kl_div({first}, {second}, log_target=True)",
                _mean(np.exp(target) * (target - read)),
                -np.exp(target) * slope,
            )
        yield f"kl-arguments=kl_div({first}, p)", _mean(p * (log_p - read)), -p * slope


def _weights(each: Array) -> Iterator[tuple[str, Array]]:
    """Yield weights (B,) of the images in other reductions over the batch, from their losses."""
    images, order = np.eye(len(each)), np.argsort(each)
    yield "the first image", images[0]
    yield "the last image", images[-1]
    yield "the largest", images[order[-1]]
    yield "the smallest", images[order[0]]
    middle = (order[(len(each) - 1) // 2], order[len(each) // 2])
    yield "the median", (images[middle[0]] + images[middle[1]]) / 2
    yield "all but the first image", (1 - images[0]) / max(len(each) - 1, 1)
    yield "all but the last image", (1 - images[-1]) / max(len(each) - 1, 1)


def _wide(images: Array) -> Array:
    """Return weights (B,) for ``through``, which divides by B."""
    return len(images) * images[:, np.newaxis]


def _softmax_twice(sides: _Sides, T: float) -> tuple[Array, Array]:
    """The divergence of probabilities that are taken for logits."""
    p, q = softmax(sides.dense, axis=1), softmax(sides.sparse, axis=1)
    loss, dq = _Sides(p, q, T, T).divergence()
    return T * T * loss, T * T * q * (dq - (q * dq).sum(axis=1, keepdims=True))


def _undivided(sides: _Sides, T: float) -> tuple[Array, Array]:
    """The sparse logits in place of their log-softmax."""
    p = np.exp(sides.log_p)
    return T * T * _mean(p * (sides.log_p - sides.sparse / T)), -T * p / len(p)


def _over_batch(sides: _Sides, T: float, dense: int, sparse: int) -> tuple[Array, Array]:
    """The softmax over these axes: 0, the images, or 1, the classes."""
    log_p = np.asarray(log_softmax(sides.dense / T, axis=dense))
    log_q = np.asarray(log_softmax(sides.sparse / T, axis=sparse))
    p, q = np.exp(log_p), np.exp(log_q)
    dlogits = q * p.sum(axis=sparse, keepdims=True) - p
    return T * T * _mean(p * (log_p - log_q)), T * dlogits / len(p)


def _errors(sides: _Sides) -> Iterator[tuple[str, Array, Array]]:
    """Yield distances of the logits and of the probabilities."""
    p, q = np.exp(sides.log_p), np.exp(sides.log_q)
    difference = sides.sparse - sides.dense
    B, size = len(difference), difference.size
    yield "mse-logits", (difference**2).mean(), 2 * difference / size
    yield "mse-logits-summed", _mean(difference**2), 2 * difference / B
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
    T, sides = evidence.conventions.temperature, _sides(evidence)
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
