"""ST-3, gradients of pruned weights, RigL and Spartan derived a second time.

Sums one weight at a time in extended precision; gradients by numerical differentiation of a loss
or of a whole solve; choices of weights by repeated search for the smallest or largest one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import cos, exp, log, mp, mpf, pi

from tools.vectors.exact import Decisions, differentiate, exact, indices, total, zeros

Outputs = dict[str, Any]
MARGIN = mpf("0.01")  # of ST-3's shares, as published
HALVINGS = 320  # of the bracket of mu: 80 digits are exact after that


# ST-3


def channel_scales(decide: Decisions, weight: Any, threshold: float) -> Outputs:
    """1.01 over the kept share of a channel's magnitude plus 0.01; a channel of zeros is kept."""
    scales = [
        (1 + MARGIN) / (_kept_share(decide, channel, mpf(threshold)) + MARGIN)
        for channel in exact(weight)
    ]
    shape = (len(scales), *[1] * (np.ndim(weight) - 1))
    return {"scales": np.array(scales, dtype=object).reshape(shape)}


def _kept_share(decide: Decisions, channel: np.ndarray, t: mpf) -> mpf:
    magnitudes = [abs(w) for w in channel.ravel()]
    kept = [m for m in magnitudes if decide.compare(m, t) > 0]
    return total(kept) / total(magnitudes) if any(magnitudes) else mpf(1)


def rescaled_soft_threshold(decide: Decisions, weight: Any, threshold: float) -> Outputs:
    """Move weights towards 0 by t, and not beyond; then multiply each channel by its scale."""
    w, t = exact(weight), mpf(threshold)
    scales = channel_scales(decide, weight, threshold)["scales"].ravel()
    result = zeros(w.shape)
    for i in indices(w.shape):
        left = abs(w[i]) - t
        result[i] = mp.sign(w[i]) * scales[i[0]] * left if left > 0 else mpf(0)
    return {"effective": result}


# Gradients of pruned weights, and regrowth


def straight_through_gradient(
    decide: Decisions, weight: Any, mask: Any, dsparse_weight: Any, pull: float
) -> Outputs:
    """Differentiate the sum of dL/dW_sparse W, plus pull / 2 times that of squares where pruned."""
    up, pruned = exact(dsparse_weight), 1 - exact(mask)

    def loss(x: np.ndarray) -> np.ndarray:
        return np.asarray(up * x + mpf(pull) / 2 * pruned * x * x)

    ones = np.full(np.shape(weight), mpf(1), dtype=object)
    return {"dweight": differentiate(loss, exact(weight), ones)}


def drop_share(decide: Decisions, progress: float, first: float, stop: float) -> Outputs:
    """By the square of a cosine of half the angle."""
    p, f, end = mpf(progress), mpf(first), mpf(stop)
    return {"share": f * cos(pi * p / end / 2) ** 2 if p < end else mpf(0)}


def regrown_mask(decide: Decisions, weight: Any, mask: Any, gradient: Any, share: float) -> Outputs:
    """Drop the smallest kept weight, and grow the pruned one of the largest gradient, by turns."""
    w, g = np.abs(weight).ravel().tolist(), np.abs(gradient).ravel().tolist()
    kept = [i for i, m in enumerate(np.ravel(mask)) if m]
    pruned = [i for i, m in enumerate(np.ravel(mask)) if not m]
    wanted = mpf(share) * len(kept)
    if wanted:
        decide.compare(wanted, mp.nint(wanted))
    count = min(int(mp.floor(wanted)), len(pruned))
    result = [mpf(bool(m)) for m in np.ravel(mask)]
    for place in _first_of(decide, kept, [w[i] for i in kept], count):
        result[place] = mpf(0)
    for place in _first_of(decide, pruned, [-g[i] for i in pruned], count):
        result[place] = mpf(1)
    return {"mask": np.array(result, dtype=object).reshape(np.shape(mask))}


def _first_of(decide: Decisions, places: list[int], values: list[float], count: int) -> list[int]:
    """Return the places of the ``count`` least values; of equal ones the first."""
    found: list[int] = []
    left = list(zip(values, places, strict=True))
    for _ in range(count):
        least = min(left)
        left.remove(least)
        found.append(least[1])
        if left and len(found) == count:
            decide.compare(least[0], min(left)[0])
    return found


# Spartan


def soft_top_k(decide: Decisions, values: Any, count: int, sharpness: float) -> Outputs:
    return {"mask": _soft(exact(values), count, mpf(sharpness))}


def _soft(v: np.ndarray, count: int, b: mpf) -> np.ndarray:
    """By m = 1 / (1 + exp(b (level - v))), with the level found by halving."""
    n = len(v)
    if count in (0, n):
        return np.array([mpf(count > 0)] * n, dtype=object)
    far = abs(log(mpf(count) / (n - count))) / b + 1
    low, high = min(v) - far, max(v) + far
    for _ in range(HALVINGS):
        level = (low + high) / 2
        sum_ = mp.fsum(1 / (1 + exp(b * (level - x))) for x in v)
        low, high = (level, high) if sum_ > count else (low, level)
    return np.array([1 / (1 + exp(b * (low - x))) for x in v], dtype=object)


def soft_top_k_gradient(
    decide: Decisions, values: Any, count: int, sharpness: float, dmask: Any
) -> Outputs:
    """Differences of the sum of dL/dm m, with the level solved for again at both ends."""
    v, up, b = exact(values), exact(dmask), mpf(sharpness)
    return {"dvalues": differentiate(lambda x: _soft(x, count, b), v, up)}
