"""Slips in Equations 1 to 5 and in the exact rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import log_softmax, softmax

from fcpts_ref.oracle.clue import Array, Clue
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations

Suspect = tuple[int | None, str, Array]


def _mask(clue: Clue) -> Iterator[Suspect]:
    W, t = clue.weights[clue.item], clue.expected["thresholds"][clue.layer]
    yield 1, "weights with |w| = t are kept", (np.abs(W) >= t) * 1.0
    yield 14, "this layer is not pruned", np.ones_like(W)
    yield None, "the weight's sign is not taken off: w > t", (t < W) * 1.0
    yield None, "the mask marks what is pruned", 1 - clue.value


def _sparse_weight(clue: Clue) -> Iterator[Suspect]:
    W, t = clue.weights[clue.item], clue.expected["thresholds"][clue.layer]
    yield (
        None,
        "soft threshold: kept weights shrink by t",
        np.sign(W) * np.maximum(np.abs(W) - t, 0),
    )
    yield None, "the weight is not masked", W


def _reconstruction_loss(clue: Clue) -> Iterator[Suspect]:
    dense, sparse = clue.expected["dense_logits"], clue.expected["sparse_logits"]
    T, B = clue.conventions.temperature, clue.batch
    log_p, log_q = (log_softmax(y / T, axis=1) for y in (dense, sparse))
    p, q = np.exp(log_p), np.exp(log_q)
    if T != 1:
        yield 5, "the divergence is not multiplied by T^2", clue.value / (T * T)
        yield 5, "the divergence is multiplied by T, not T^2", clue.value / T
    yield 5, "the sum over the batch in place of its mean", clue.value * B
    yield 5, "the mean over the classes, too", clue.value / dense.shape[1]
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


def _dsparse_logits(clue: Clue) -> Iterator[Suspect]:
    dense, sparse = clue.expected["dense_logits"], clue.expected["sparse_logits"]
    T, B = clue.conventions.temperature, clue.batch
    p, q = softmax(dense / T, axis=1), softmax(sparse / T, axis=1)
    yield 5, "the sum over the batch in place of its mean", clue.value * B
    yield 5, "the mean over the classes, too", clue.value / dense.shape[1]
    if T != 1:
        yield 5, "the loss is not multiplied by T^2", clue.value / (T * T)
        yield 5, "the derivative of logits / T is missing", clue.value * T
        yield 5, "neither T^2 nor the derivative of logits / T", clue.value / T
    yield None, "the sign", -clue.value
    difference = np.log(q) - np.log(p)
    inner = (q * difference).sum(axis=1, keepdims=True)
    yield None, "KL(sparse || dense): the sides are swapped", T / B * q * (difference - inner)
    yield 6, "the mean squared error of the logits", 2 * (sparse - dense) / dense.size


def _rates(clue: Clue) -> Iterator[Suspect]:
    yield 9, "the share of kept weights, not of pruned ones", 1 - clue.value
    masks = [clue.expected[f"mask/{name}"] for name in clue.weights]
    yield 9, "the mean of 1 - M: a mask of 0.5 counts half", np.array([1 - m.mean() for m in masks])
    smooth = [
        equations.sparsity_rate_integral(
            t, w.ravel()[s] if s.size else w, bandwidth_of(w, clue.conventions)
        )
        for t, w, s in zip(
            clue.expected["thresholds"], clue.weights.values(), clue.samples, strict=True
        )
    ]
    yield 9, "the integral of the estimated density, not the exact count", np.array(smooth)


def _control_loss(clue: Clue) -> Iterator[Suspect]:
    r, N = clue.expected["rates"], np.array([w.size for w in clue.weights.values()])
    excess = (r * N).sum() / N.sum() - clue.setting.target
    yield 13, "squared", np.asarray(excess**2)
    yield None, "signed: the absolute value is missing", np.asarray(excess)
    yield (
        None,
        "the plain mean of the rates, not weighted by N",
        np.abs(r.mean() - clue.setting.target),
    )
    for i, side in ((0, "first"), (-1, "last")):
        rest = np.arange(len(r)) != i % len(r)
        other = (r * N)[rest].sum() / N[rest].sum()
        yield 14, f"the {side} layer is left out", np.abs(other - clue.setting.target)


def _total_loss(clue: Clue) -> Iterator[Suspect]:
    control = float(clue.expected["control_loss"])
    reconstruction = float(clue.expected["reconstruction_loss"])
    weight = (float(clue.mine) - reconstruction) / control if control else math.nan
    if np.isfinite(weight):
        yield 13, f"L_rec + {weight:.6g} L_c", np.array(reconstruction + weight * control)


SLIPS = {
    "mask": _mask,
    "sparse_weight": _sparse_weight,
    "reconstruction_loss": _reconstruction_loss,
    "dsparse_logits": _dsparse_logits,
    "rates": _rates,
    "control_loss": _control_loss,
    "total_loss": _total_loss,
}
"""By quantity."""
