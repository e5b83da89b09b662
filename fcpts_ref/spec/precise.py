"""Differences that would cancel, in forms that keep their digits.

The forms are those of N. J. Higham, Accuracy and Stability of Numerical Algorithms (2nd edition,
2002), sections 1.7 and 1.14: numbers are subtracted before functions are taken of them, and the
sums that remain have terms of one sign.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, ndtr

Array = NDArray[Any]

NEAR = 100.0  # exp of it is far from overflow
SERIES = 0.5  # below, exp(x) - 1 - x is summed as a series
TERMS = 15  # SERIES**TERMS / TERMS! is below the rounding of float64
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)  # on (-1, 1)


def kl_and_difference(dense: Array, sparse: Array, T: Any) -> tuple[Array, Array]:
    """Return KL(p || q) of each row (B,), and q - p (B, K), of logits (B, K) in float64 or wider.

    p and q are the softmax of dense / T and sparse / T.  With e = (dense - sparse) / T minus its
    mean under p, q = p exp(-e - KL); so
    KL = log(1 + sum p (exp(-e) - 1 + e)), a sum of terms of one sign, and
    q - p = p (exp(-e - KL) - 1).
    """
    log_p = log_softmax(dense / T, axis=1)
    p = np.exp(log_p)
    d = dense - sparse
    d = (d - np.take_along_axis(d, dense.argmax(axis=1)[:, np.newaxis], axis=1)) / T
    e = d - (p * d).sum(axis=1, keepdims=True)
    near = (np.abs(e) <= NEAR).all(axis=1)  # not if it is infinite or NaN
    safe = np.where(near[:, np.newaxis], e, 0)
    kl = np.log1p((p * exp_minus_1_minus_x(-safe)).sum(axis=1))
    difference = p * np.expm1(-safe - kl[:, np.newaxis])
    if near.all():
        return kl, difference
    log_q = log_softmax(sparse / T, axis=1)
    plain = (p * (log_p - log_q)).sum(axis=1)
    return (
        np.where(near, kl, plain),
        np.where(near[:, np.newaxis], difference, np.exp(log_q) - p),
    )


def exp_minus_1_minus_x(x: Array) -> Array:
    """Return exp(x) - 1 - x, which is never below 0."""
    small = np.where(np.abs(x) < SERIES, x, 0)
    series = np.zeros_like(small)
    for k in range(TERMS, 1, -1):  # Horner: x^2/2! + x^3/3! + ...
        series = (series + 1) * small / k
    return np.where(np.abs(x) < SERIES, series * small, np.expm1(x) - x)


def normal_mass(low: Array, high: Array, half_width: Any, middle: Array) -> Array:
    """Return the share of the standard normal distribution between low and high, both (n,).

    half_width, middle: of the interval; middle is at most 0.  Where the interval is so narrow that
    the two values of the distribution function would cancel, its density is integrated by Gauss's
    rule: the sum of 2 w_i phi(middle) cosh(middle x_i) exp(-x_i^2 / 2) over (0, half_width).
    """
    narrow = half_width * np.maximum(1, np.abs(middle)) < 1
    x = half_width * (NODES + 1) / 2 * np.where(narrow, 1, 0)[:, np.newaxis]  # (n, nodes)
    m = np.where(narrow, middle, 0)[:, np.newaxis]
    terms = np.exp(-0.5 * (m - x) ** 2) + np.exp(-0.5 * (m + x) ** 2)
    mass = (terms * WEIGHTS).sum(axis=1) * half_width / (2 * math.sqrt(2 * math.pi))
    return np.asarray(np.where(narrow, mass, ndtr(high) - ndtr(low)))
