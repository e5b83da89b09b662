"""Mistakes in Equation 4: the loss, and its gradient by the sparse logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values

LOSS, GRADIENT = ("reconstruction_loss",), ("dsparse_logits",)
BOTH = (*LOSS, *GRADIENT)
OFFSETS = (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)


def _of(text: str, formula: str, look: str = "", point: int | None = None) -> Mistake:
    return Mistake(text, formula, BOTH, look, point)


NAMES = {
    "kl-without-temperature": Mistake("the loss is taken at T = 1", "mean_n KL(softmax(dense) || softmax(sparse))", LOSS, point=5),
    "kl-without-T2": _of("the divergence is not multiplied by T^2", "mean_n KL(p || q)", "T * T is missing", 5),
    "kl-by-T": _of("the divergence is multiplied by T, not T^2", "T mean_n KL(p || q)", point=5),
    "kl-by-T4": _of("the divergence is multiplied by T^4", "T^4 mean_n KL(p || q)", "T^2 is applied twice", 5),
    "kl-temperature-on-dense": _of(
        "the temperature divides the dense logits alone", "p = softmax(dense / T), q = softmax(sparse)", point=5
    ),
    "kl-temperature-on-sparse": _of(
        "the temperature divides the sparse logits alone", "p = softmax(dense), q = softmax(sparse / T)", point=5
    ),
    "kl-sum-over-batch": _of("the sum over the batch in place of its mean", "B times the loss", 'reduction="sum"', 5),
    "kl-mean-over-classes": _of("the mean over the classes, too", "the loss / classes", 'kl_div with reduction="mean"', 5),
    "kl-swapped": _of(
        "KL(sparse || dense): the sides are swapped",
        "T^2 mean_n sum_k q (log q - log p)",
        "kl_div takes the logarithm of the approximation first",
    ),
    "kl-cross-entropy": _of(
        "cross-entropy: the dense output's entropy is not subtracted", "-T^2 mean_n sum_k p log q", "its gradient is the same"
    ),
    "kl-jensen-shannon": _of("the divergence of Jensen and Shannon", "(KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2"),
    "kl-base-2": _of("logarithms to the base 2", "the loss / log 2", "log2"),
    "kl-sign": _of("the sign of the loss", "minus the loss", "log q - log p"),
    "kl-offset": _of(
        "a small number is added inside the logarithms",
        "p (log(p + e) - log(q + e)), e = 1e-12 ... 1e-4",
        "log(softmax + eps) in place of log_softmax",
    ),
    "kl-offset-sparse": _of("a small number is added inside log q", "p (log p - log(q + e))", "log(softmax + eps)"),
    "kl-root": Mistake("the root of the divergence", "sqrt(loss)", LOSS),
    "mse-logits": _of("the mean squared error of the logits", "mean (dense - sparse)^2", point=6),
    "mse-logits-summed": _of(
        "the squared error of the logits, summed over classes", "mean_n sum_k (dense - sparse)^2", point=6
    ),
    "mse-probabilities": _of("the mean squared error of the probabilities", "mean (p - q)^2", point=6),
    "dlogits-without-1/T": Mistake(
        "the derivative of logits / T is missing", "T^2 / B (q - p)", GRADIENT, "a backward written for T = 1", 5
    ),
    "dlogits-one-hot": Mistake(
        "the dense output's class in place of its probabilities", "T / B (q - onehot(argmax p))", GRADIENT, "hard labels"
    ),
    "dlogits-T-forgotten": Mistake("the gradient is taken at T = 1", "(softmax(sparse) - softmax(dense)) / B", GRADIENT, point=5),
}  # fmt: skip


@dataclass(frozen=True)
class _Sides:
    """Log-probabilities (B, K) of both sides at temperatures of their own, and their derivatives."""

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
    yield "kl-swapped", T * T * sides.through_softmax(log_q - log_p + 1)
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
