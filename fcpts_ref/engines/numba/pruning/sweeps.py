"""Sweeps over the weights of a layer: the kernels of ``equations``, on flat arrays, without checks.

Sums are taken in float64, PARALLEL_SUMS of them side by side so that one addition need not wait for
the last; the order depends on the size alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.tuning import PARALLEL_SUMS


@compiled
def mask(W: Any, M: Any, sparse: Any, t: float, at_threshold: Any, strict: bool) -> Any:
    """Fills M and sparse; returns the number of pruned weights, and whether all are finite.

    |w| and t are compared in float64, whatever the weights are.
    """
    below: Any = 0
    at: Any = 0
    finite: Any = True
    for i in range(W.size):
        w = W[i]
        u = np.float64(abs(w))
        m = 1.0 if u > t else 0.0
        m = at_threshold if u == t else m
        M[i] = m
        sparse[i] = w * m
        below += u < t
        at += u == t
        finite &= u < np.inf
    return (below if strict else below + at), finite


@compiled
def moments(w: Any, value: Any) -> Any:
    """How many, the mean, the squared distances from it, and whether all equal the value."""
    mean = _total(w) / w.size
    different = False
    for i in range(w.size):
        different |= w[i] != value
    return w.size, mean, _squares(w, mean), not different


@compiled_part
def _total(w: Any) -> Any:
    sums = np.zeros(PARALLEL_SUMS)
    whole = w.size // PARALLEL_SUMS * PARALLEL_SUMS
    for first in range(0, whole, PARALLEL_SUMS):
        for lane in range(PARALLEL_SUMS):
            sums[lane] += w[first + lane]
    for i in range(whole, w.size):
        sums[i - whole] += w[i]
    return sums.sum()


@compiled_part
def _squares(w: Any, mean: float) -> Any:
    sums = np.zeros(PARALLEL_SUMS)
    whole = w.size // PARALLEL_SUMS * PARALLEL_SUMS
    for first in range(0, whole, PARALLEL_SUMS):
        for lane in range(PARALLEL_SUMS):
            difference = w[first + lane] - mean
            sums[lane] += difference * difference
    for i in range(whole, w.size):
        difference = w[i] - mean
        sums[i - whole] += difference * difference
    return sums.sum()


@compiled
def count_between(w: Any, low: Any, high: Any, closed: bool) -> int:
    """How many lie in [low, high), or in [low, high]."""
    inside, top = 0, 0
    for i in range(w.size):
        inside += (w[i] >= low) & (w[i] < high)
        top += w[i] == high
    return inside + top if closed else inside


@compiled
def _magnitudes_within(W: Any, t: Any, width: float) -> Any:
    """The least and the greatest magnitude m in the dtype of W with -width < m - t < width.

    As exactly as in ``spec.equations``; the least is above the greatest if there is none.
    """
    number = W.dtype.type
    low, high = number(max(t - width, 0)), number(t + width)
    while not (t - width < low or t <= low):
        low = np.nextafter(low, number(np.inf))
    while not (np.float64(high) - width < t or high <= t):
        high = np.nextafter(high, number(0))
    return low, high


@compiled
def threshold_gradient(W: Any, dW: Any, t: Any, width: float) -> Any:
    """-0.5 * sum of dW * W where the surrogate is not 0."""
    sums = np.zeros(PARALLEL_SUMS)
    low, high = _magnitudes_within(W, t, width)
    whole = W.size // PARALLEL_SUMS * PARALLEL_SUMS
    for first in range(0, whole, PARALLEL_SUMS):
        for lane in range(PARALLEL_SUMS):
            w = W[first + lane]
            product = dW[first + lane] * w
            sums[lane] += product if low <= abs(w) <= high else 0
    for i in range(whole, W.size):
        product = dW[i] * W[i]
        sums[i - whole] += product if low <= abs(W[i]) <= high else 0
    total = 0.0
    for lane in range(PARALLEL_SUMS):
        total += sums[lane]
    return -0.5 * total


@compiled
def density(points: Any, samples: Any, h: float, result: Any) -> None:
    for i in range(points.size):
        total = 0.0
        for j in range(samples.size):
            z = (points[i] - samples[j]) / h
            total += math.exp(-0.5 * z * z)
        result[i] = total / (samples.size * h * math.sqrt(2 * math.pi))
