"""Mistakes in Equations 1 to 5 and in the exact rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import log_softmax, softmax

from fcpts_ref.oracle.evidence import Candidate, Evidence
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations


def _mask(evidence: Evidence) -> Iterator[Candidate]:
    W, t = evidence.weights[evidence.item], evidence.expected["thresholds"][evidence.layer]
    yield 1, "weights with |w| = t are kept", (np.abs(W) >= t) * 1.0
    yield 14, "this layer is not pruned", np.ones_like(W)
    yield None, "the weight's sign is not taken off: w > t", (t < W) * 1.0
    yield None, "the mask marks what is pruned", 1 - evidence.value


def _sparse_weight(evidence: Evidence) -> Iterator[Candidate]:
    W, t = evidence.weights[evidence.item], evidence.expected["thresholds"][evidence.layer]
    yield (
        None,
        "soft threshold: kept weights shrink by t",
        np.sign(W) * np.maximum(np.abs(W) - t, 0),
    )
    yield None, "the weight is not masked", W


def _reconstruction_loss(evidence: Evidence) -> Iterator[Candidate]:
    dense, sparse = evidence.expected["dense_logits"], evidence.expected["sparse_logits"]
    T, B = evidence.conventions.temperature, evidence.batch
    log_p, log_q = (log_softmax(y / T, axis=1) for y in (dense, sparse))
    p, q = np.exp(log_p), np.exp(log_q)
    if T != 1:
        yield 5, "the divergence is not multiplied by T^2", evidence.value / (T * T)
        yield 5, "the divergence is multiplied by T, not T^2", evidence.value / T
    yield 5, "the sum over the batch in place of its mean", evidence.value * B
    yield 5, "the mean over the classes, too", evidence.value / dense.shape[1]
    yield (
        None,
        "KL(sparse || dense): the sides are swapped",
        (T * T * (q * (log_q - log_p)).sum(axis=1).mean()),
    )
    yield (
        None,
        "cross-entropy: the dense output's entropy is not subtracted",
        (-T * T * (p * log_q).sum(axis=1).mean()),
    )
    square = (dense - sparse) ** 2
    yield 6, "the mean squared error of the logits", square.mean()
    yield 6, "the squared error of the logits, summed over classes", square.sum(axis=1).mean()
    yield 6, "the mean squared error of the probabilities", ((p - q) ** 2).mean()


def _dsparse_logits(evidence: Evidence) -> Iterator[Candidate]:
    dense, sparse = evidence.expected["dense_logits"], evidence.expected["sparse_logits"]
    T, B = evidence.conventions.temperature, evidence.batch
    p, q = softmax(dense / T, axis=1), softmax(sparse / T, axis=1)
    yield 5, "the sum over the batch in place of its mean", evidence.value * B
    yield 5, "the mean over the classes, too", evidence.value / dense.shape[1]
    if T != 1:
        yield 5, "the loss is not multiplied by T^2", evidence.value / (T * T)
        yield 5, "the derivative of logits / T is missing", evidence.value * T
        yield 5, "neither T^2 nor the derivative of logits / T", evidence.value / T
    yield None, "the sign", -evidence.value
    difference = np.log(q) - np.log(p)
    inner = (q * difference).sum(axis=1, keepdims=True)
    yield None, "KL(sparse || dense): the sides are swapped", T / B * q * (difference - inner)
    yield 6, "the mean squared error of the logits", 2 * (sparse - dense) / dense.size


def _rates(evidence: Evidence) -> Iterator[Candidate]:
    yield 9, "the share of kept weights, not of pruned ones", 1 - evidence.value
    masks = [evidence.expected[f"mask/{name}"] for name in evidence.weights]
    yield 9, "the mean of 1 - M: a mask of 0.5 counts half", np.array([1 - m.mean() for m in masks])
    smooth = [
        equations.sparsity_rate_integral(
            t, w.ravel()[s] if s.size else w, bandwidth_of(w, evidence.conventions)
        )
        for t, w, s in zip(
            evidence.expected["thresholds"],
            evidence.weights.values(),
            evidence.samples,
            strict=True,
        )
    ]
    yield 9, "the integral of the estimated density, not the exact count", np.array(smooth)


def _control_loss(evidence: Evidence) -> Iterator[Candidate]:
    r, N = evidence.expected["rates"], np.array([w.size for w in evidence.weights.values()])
    excess = (r * N).sum() / N.sum() - evidence.setting.target
    yield 13, "squared", np.asarray(excess**2)
    yield None, "signed: the absolute value is missing", np.asarray(excess)
    yield (
        None,
        "the plain mean of the rates, not weighted by N",
        np.abs(r.mean() - evidence.setting.target),
    )
    for i, side in ((0, "first"), (-1, "last")):
        rest = np.arange(len(r)) != i % len(r)
        other = (r * N)[rest].sum() / N[rest].sum()
        yield 14, f"the {side} layer is left out", np.abs(other - evidence.setting.target)


def _total_loss(evidence: Evidence) -> Iterator[Candidate]:
    control = float(evidence.expected["control_loss"])
    reconstruction = float(evidence.expected["reconstruction_loss"])
    weight = (float(evidence.mine) - reconstruction) / control if control else math.nan
    if np.isfinite(weight):
        yield 13, f"L_rec + {weight:.6g} L_c", np.array(reconstruction + weight * control)


MISTAKES = {
    "mask": _mask,
    "sparse_weight": _sparse_weight,
    "reconstruction_loss": _reconstruction_loss,
    "dsparse_logits": _dsparse_logits,
    "rates": _rates,
    "control_loss": _control_loss,
    "total_loss": _total_loss,
}
"""Functions of the evidence, by quantity."""
