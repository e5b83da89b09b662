"""Divergences of the probabilities, with a mistake or in the place of Equation 4."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from fcpts_ref.oracle.evidence import Array, Evidence

OFFSETS = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)


@dataclass(frozen=True)
class Sides:
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
        return batch_mean(p * (self.log_p - self.log_q)), self.through(-p)


def sides_of(evidence: Evidence, dense_T: bool = True, sparse_T: bool = True) -> Sides:
    T = evidence.conventions.temperature
    dense, sparse = evidence.given["dense_logits"], evidence.given["sparse_logits"]
    return Sides(dense, sparse, T if dense_T else 1.0, T if sparse_T else 1.0)


def batch_mean(terms: Array) -> Array:
    return np.asarray(terms.sum(axis=1).mean())


def divergences(sides: Sides) -> Iterator[tuple[str, Array, Array]]:
    """Yield losses of the probabilities, and their derivatives by log q."""
    log_p, log_q = sides.log_p, sides.log_q
    p, q = np.exp(log_p), np.exp(log_q)
    backwards, dbackwards = q * (log_q - log_p), q * (log_q - log_p + 1)
    forwards = p * (log_p - log_q)
    yield "kl-swapped", batch_mean(backwards), dbackwards
    for text, images in _weights(forwards.sum(axis=1)):
        yield f"kl-reduced={text}", np.asarray(forwards.sum(axis=1) @ images), -p * _wide(images)
    yield "kl-symmetric", batch_mean(forwards + backwards), dbackwards - p
    yield "kl-symmetric", batch_mean(forwards + backwards) / 2, (dbackwards - p) / 2
    yield "kl-cross-entropy", -batch_mean(p * log_q), -p
    middle = np.log((p + q) / 2)
    both = p * (log_p - middle) + q * (log_q - middle)
    yield "kl-jensen-shannon", batch_mean(both) / 2, 0.5 * q * (log_q - middle)
    yield from _misused(sides)
    hard = np.eye(p.shape[1])[sides.dense.argmax(axis=1)]
    yield "kl-hard-labels", -batch_mean(hard * log_q), -hard
    K = p.shape[1]
    for share in (0.01, 0.02, 0.05, 0.1, 0.2):
        even = (1 - share) * p + share / K
        yield f"kl-smoothed={share:g}", batch_mean(even * (np.log(even) - log_q)), -even
        yield f"kl-smoothed={share:g}", -batch_mean(even * log_q), -even
    for e in OFFSETS:
        inside = -p * q / (q + e)
        yield "kl-offset", batch_mean(p * (np.log(p + e) - np.log(q + e))), inside
        yield "kl-offset-sparse", batch_mean(p * (log_p - np.log(q + e))), inside
    for e in (*OFFSETS, 0.01, 0.05, 0.1):
        seen = np.maximum(q, e)
        yield "kl-clamped", batch_mean(p * (log_p - np.log(seen))), np.where(q > e, -p, 0.0)


def _misused(sides: Sides) -> Iterator[tuple[str, Array, Array]]:
    """Yield kl_div with other arguments than log q and p, and their derivatives by log q."""
    log_p, log_q = sides.log_p, sides.log_q
    p, q, direct = np.exp(log_p), np.exp(log_q), np.ones_like(log_q)
    for first, read, slope in (("log q", log_q, direct), ("q", q, q)):
        for second, target in (("p", p), ("log p", log_p), ("Y_dense", sides.dense)):
            yield (
                f"kl-arguments=kl_div({first}, {second}, log_target=True)",
                batch_mean(np.exp(target) * (target - read)),
                -np.exp(target) * slope,
            )
        yield f"kl-arguments=kl_div({first}, p)", batch_mean(p * (log_p - read)), -p * slope


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
