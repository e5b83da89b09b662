"""Mistakes in Equation 4: the loss, and its gradient by the sparse logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values

OFFSETS = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)


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

    def through_softmax(self, dq: Array) -> Array:
        """The mean over the batch, differentiated by the sparse logits, from dloss/dq."""
        q = np.exp(self.log_q)
        inner = (q * dq).sum(axis=1, keepdims=True)
        return np.asarray(q * (dq - inner) / self.T_sparse / len(q))


def _sides(evidence: Evidence, dense_T: bool = True, sparse_T: bool = True) -> _Sides:
    T = evidence.conventions.temperature
    dense, sparse = evidence.given["dense_logits"], evidence.given["sparse_logits"]
    return _Sides(dense, sparse, T if dense_T else 1.0, T if sparse_T else 1.0)


def _mean(terms: Array) -> Array:
    return np.asarray(terms.sum(axis=1).mean())


def _reconstruction_loss(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    right, T, sides = evidence.value, evidence.conventions.temperature, _sides(evidence)
    log_p, log_q = sides.log_p, sides.log_q
    p, q = np.exp(log_p), np.exp(log_q)
    if T != 1:
        yield "kl-without-T2", right / (T * T)
        yield "kl-by-T", right / T
        yield "kl-by-T4", right * T * T
        plain = _sides(evidence, dense_T=False, sparse_T=False)
        yield "kl-without-temperature", _mean(np.exp(plain.log_p) * (plain.log_p - plain.log_q))
        for name, one in (
            ("kl-temperature-on-dense", _sides(evidence, sparse_T=False)),
            ("kl-temperature-on-sparse", _sides(evidence, dense_T=False)),
        ):
            yield name, T * T * _mean(np.exp(one.log_p) * (one.log_p - one.log_q))
    yield "kl-sum-over-batch", right * evidence.batch
    yield "kl-mean-over-classes", right / p.shape[1]
    yield "kl-swapped", T * T * _mean(q * (log_q - log_p))
    yield "kl-cross-entropy", -T * T * _mean(p * log_q)
    middle = np.log((p + q) / 2)
    yield "kl-jensen-shannon", T * T * _mean(p * (log_p - middle) + q * (log_q - middle)) / 2
    backwards = T * T * _mean(q * (log_q - log_p))
    yield "kl-symmetric", right + backwards
    yield "kl-symmetric", (right + backwards) / 2
    yield "kl-base-2", right / np.log(2)
    yield "kl-sign", -right
    yield "kl-root", np.sqrt(right)
    for e in OFFSETS:
        yield "kl-offset", T * T * _mean(p * (np.log(p + e) - np.log(q + e)))
        yield "kl-offset-sparse", T * T * _mean(p * (log_p - np.log(q + e)))
    square = (sides.dense - sides.sparse) ** 2
    yield "mse-logits", square.mean()
    yield "mse-logits-summed", _mean(square)
    yield "mse-probabilities", ((p - q) ** 2).mean()


def _dsparse_logits(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    right, T, sides = evidence.value, evidence.conventions.temperature, _sides(evidence)
    B, K = sides.dense.shape
    log_p, log_q = sides.log_p, sides.log_q
    p, q = np.exp(log_p), np.exp(log_q)
    if T != 1:
        yield "kl-without-T2", right / (T * T)
        yield "kl-by-T", right / T
        yield "kl-by-T4", right * T * T
        yield "dlogits-without-1/T", right * T
        q1, p1 = softmax(sides.sparse, axis=1), softmax(sides.dense, axis=1)
        yield "kl-temperature-on-dense", T * T / B * (q1 - p)
        yield "kl-temperature-on-dense", T / B * (q1 - p)
        yield "kl-temperature-on-sparse", T / B * (q - p1)
        yield "dlogits-T-forgotten", (q1 - p1) / B
    yield "kl-sum-over-batch", right * B
    yield "kl-mean-over-classes", right / K
    yield "kl-base-2", right / np.log(2)
    yield "kl-sign", -right
    backwards = T * T * sides.through_softmax(log_q - log_p + 1)
    yield "kl-swapped", backwards
    yield "kl-symmetric", right + backwards
    yield "kl-symmetric", (right + backwards) / 2
    middle = np.log((p + q) / 2)
    yield "kl-jensen-shannon", T * T * sides.through_softmax(0.5 * (log_q - middle))
    for e in OFFSETS:
        yield "kl-offset", T * T * sides.through_softmax(-p / (q + e))
    yield "mse-logits", 2 * (sides.sparse - sides.dense) / sides.dense.size
    yield "mse-logits-summed", 2 * (sides.sparse - sides.dense) / B
    yield "mse-probabilities", sides.through_softmax(2 * (q - p)) / K
    hard = np.eye(K)[sides.dense.argmax(axis=1)]
    yield "dlogits-one-hot", T / B * (q - hard)


VALUES: dict[str, Values] = {
    "reconstruction_loss": _reconstruction_loss,
    "dsparse_logits": _dsparse_logits,
}
