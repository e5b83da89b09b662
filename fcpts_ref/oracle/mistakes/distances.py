"""Other losses in the place of Equation 4: a distance of the outputs, reduced in one of the usual
ways, with the gradient that follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import Found, Values

DISTANCE = "distance"
Reduction = Callable[[Array], tuple[Any, Any]]
"""Of distances (B, K): one number, and its derivative by every distance."""


@dataclass(frozen=True, eq=False)
class _Distance:
    """terms: (B, K).  slopes: their derivatives by the logits over T, or by q if given."""

    terms: Array
    slopes: Array
    T: float
    q: Array | None = None

    def through(self, dterms: Array) -> Array:
        """Return the gradient by the sparse logits, from that by the terms."""
        d = dterms * self.slopes
        if self.q is not None:
            d = self.q * (d - (self.q * d).sum(axis=1, keepdims=True))
        return np.asarray(d / self.T)


def _of_logits(dense: Array, sparse: Array) -> Iterator[tuple[str, Array, Array]]:
    """Yield distances and their derivatives by the sparse logits."""
    u = sparse - dense
    inside = np.abs(u) < 1
    yield "|Y_s - Y_d|", np.abs(u), np.sign(u)
    yield "(Y_s - Y_d)^2", u * u, 2 * u
    yield (
        "smooth L1 of Y_s - Y_d",
        np.where(inside, u * u / 2, np.abs(u) - 0.5),
        np.where(inside, u, np.sign(u)),
    )
    yield "log cosh(Y_s - Y_d)", np.log(np.cosh(u)), np.tanh(u)
    yield (
        "binary cross-entropy of the sigmoids",
        np.logaddexp(0, sparse) - expit(dense) * sparse,
        expit(sparse) - expit(dense),
    )


def _of_probabilities(log_p: Array, log_q: Array) -> Iterator[tuple[str, Array, Array]]:
    """Yield distances and their derivatives by q."""
    p, q = np.exp(log_p), np.exp(log_q)
    yield "|p - q|", np.abs(p - q), np.sign(q - p)
    yield "(p - q)^2", (p - q) ** 2, 2 * (q - p)
    yield "(p - q)^2 / p", (p - q) ** 2 / p, 2 * (q - p) / p
    yield "(p - q)^2 / q", (p - q) ** 2 / q, 1 - (p / q) ** 2
    yield "(sqrt(p) - sqrt(q))^2", (np.sqrt(p) - np.sqrt(q)) ** 2, 1 - np.sqrt(p / q)
    yield "-p q", -p * q, -p
    yield "p log(p / q)", p * (log_p - log_q), -p / q
    yield "q log(q / p)", q * (log_q - log_p), log_q - log_p + 1
    yield "-p log q", -p * log_q, -p / q
    yield "-q log p", -q * log_p, -log_p
    yield "|log p - log q|", np.abs(log_p - log_q), np.sign(log_q - log_p) / q
    yield "(log p - log q)^2", (log_p - log_q) ** 2, 2 * (log_q - log_p) / q


def _mean(terms: Array) -> tuple[Any, Any]:
    return terms.mean(), 1 / terms.size


def _sum(terms: Array) -> tuple[Any, Any]:
    return terms.sum(), 1.0


def _batch_mean(terms: Array) -> tuple[Any, Any]:
    return terms.sum(axis=1).mean(), 1 / len(terms)


def _norm(terms: Array) -> tuple[Any, Any]:
    length = np.sqrt(terms.sum(axis=1, keepdims=True))
    return length.mean(), 0.5 / length / len(terms)


def _root(terms: Array) -> tuple[Any, Any]:
    root = np.sqrt(terms.mean())
    return root, 0.5 / root / terms.size


REDUCTIONS: dict[str, Reduction] = {
    "mean": _mean,
    "sum": _sum,
    "sum over the classes and mean over the batch": _batch_mean,
    "mean over the batch of the root of the sum": _norm,
    "root of the mean": _root,
}


def _distances(evidence: Evidence, T: float) -> Iterator[tuple[str, _Distance]]:
    dense, sparse = evidence.given["dense_logits"] / T, evidence.given["sparse_logits"] / T
    for text, terms, slopes in _of_logits(dense, sparse):
        yield text, _Distance(terms, slopes, T)
    log_p, log_q = log_softmax(dense, axis=1), log_softmax(sparse, axis=1)
    for text, terms, slopes in _of_probabilities(log_p, log_q):
        yield text, _Distance(terms, slopes, T, np.exp(log_q))


def _losses(evidence: Evidence) -> Iterator[tuple[str, _Distance, Reduction, float]]:
    T = evidence.conventions.temperature
    factors = {"": 1.0} if T == 1 else {"": 1.0, "T ": T, "T^2 ": T * T}
    for temperature in dict.fromkeys((1.0, T)):
        at = "" if temperature == 1 else " at T"
        for text, distance in _distances(evidence, temperature):
            for way, reduction in REDUCTIONS.items():
                for factor, number in factors.items():
                    name = f"{DISTANCE}{MARK}{factor}{way} of {text}{at}"
                    yield name, distance, reduction, number


def _loss(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    for name, distance, reduction, number in _losses(evidence):
        yield name, np.asarray(number * reduction(distance.terms)[0])


def _gradient(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    for name, distance, reduction, number in _losses(evidence):
        yield name, partial(_followed, distance, reduction, number)


def _followed(distance: _Distance, reduction: Reduction, number: float) -> Array:
    return number * distance.through(reduction(distance.terms)[1])


VALUES: dict[str, Values] = {"reconstruction_loss": _loss, "dsparse_logits": _gradient}
