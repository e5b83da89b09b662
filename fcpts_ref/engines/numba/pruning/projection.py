"""The order statistic behind the exact budget: the k-th smallest |w| / t over all layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.jit.compilation import compiled
from fcpts_ref.spec.budget import check_projection, factor_between

Array = NDArray[Any]

SHIFT = 47  # leaves the exponent and 5 bits of the mantissa
BUCKETS = 2 ** (63 - SHIFT)


def projection_factor(weights: Sequence[Array], thresholds: Array, count: int) -> float:
    """The function of ``fcpts_ref.spec.budget`` in O(N): buckets first, then one or two of them.

    weights: float32 or float64, one array a layer; thresholds: (L,) at least 0.
    Raises InputError if the thresholds leave fewer than ``count`` weights to prune.
    """
    weights, thresholds = check_projection(weights, thresholds, count)
    total = sum(weight.size for weight in weights)
    ratios = np.empty(total)
    start = 0
    for weight, threshold in zip(weights, thresholds, strict=True):
        flat = np.ascontiguousarray(weight).reshape(-1)
        _ratios(flat, float(threshold), ratios[start : start + flat.size])
        start += flat.size
    if count == 0:
        return factor_between(ratios, 0)
    below = np.zeros(BUCKETS, np.int64)
    _count_buckets(ratios.view(np.int64), below)
    first, last = np.searchsorted(np.cumsum(below), [count - 1, count], side="right")
    before = int(below[:first].sum())
    if last == 0:  # exact zeros, or nearly so: the smallest ratio above them may be needed
        return factor_between(ratios, count)
    chosen = np.empty(int(below[first : last + 1].sum()))
    _collect(ratios, ratios.view(np.int64), first, last, chosen)
    return factor_between(chosen, count - before)


@compiled
def _count_buckets(bits: Any, counts: Any) -> None:
    """Numbers at least 0 are in the order of their bits: the upper ones are the bucket."""
    for i in range(bits.size):
        counts[bits[i] >> SHIFT] += 1


@compiled
def _collect(ratios: Any, bits: Any, first: int, last: int, chosen: Any) -> None:
    """The numbers in the buckets from first to last, in their order."""
    place = 0
    for i in range(ratios.size):
        if first <= (bits[i] >> SHIFT) <= last:
            chosen[place] = ratios[i]
            place += 1


@compiled
def _ratios(weight: Any, threshold: float, ratios: Any) -> None:
    """|w| / t; 0 for a weight of 0, infinity for others where t = 0."""
    for i in range(weight.size):
        magnitude = abs(np.float64(weight[i]))
        if threshold > 0:
            ratios[i] = magnitude / threshold
        else:
            ratios[i] = np.inf if magnitude > 0 else 0.0
