"""ProbMask: masks drawn with learned probabilities (Zhou et al., CVPR 2021, arXiv:2102.07107).

Every weight has a score s, the probability that it is kept.  The network computes with W m, where
m is a relaxed draw: a logistic sigmoid of the score's logit plus noise.  After every step the
scores are projected onto the budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from fcpts_ref.checks import positive_number
from fcpts_ref.errors import InputError

Array = NDArray[Any]

SCORE_MARGIN = 1e-6
"""Scores count as at least this, and at most 1 minus this, where their logit is taken."""


def logistic_noise(uniform: Array) -> Array:
    """Return logit(u) for u uniform on (0, 1): the difference of two Gumbel variables."""
    return np.asarray(logit(uniform))


def relaxed_mask(scores: Array, noise: Array, temperature: float) -> Array:
    """Return m = sigmoid((logit(s) + noise) / temperature).

    Raises InputError unless the temperature is positive and finite.
    """
    positive_number(temperature, "the temperature")
    return np.asarray(expit((logit(_inside(scores)) + noise) / temperature))


def relaxed_mask_gradient(scores: Array, mask: Array, temperature: float, dmask: Array) -> Array:
    """Return dL/ds = dL/dm m (1 - m) / (temperature s (1 - s)).

    A score outside the margins has the gradient at the margin, so that it can return.
    """
    s = _inside(scores)
    return np.asarray(dmask * mask * (1 - mask) / (temperature * s * (1 - s)))


def project_scores(scores: Sequence[Array], count: float) -> list[Array]:
    """Return the nearest scores in [0, 1] whose sum over all arrays is at most ``count``.

    They are clip(s - v, 0, 1) with the smallest v >= 0 that meets the budget.  The sum falls
    linearly between the breakpoints s and s - 1, so v is found exactly by sorting them.
    Raises InputError for a negative count or scores that are not finite.
    """
    flat = np.concatenate([s.ravel() for s in scores]).astype(np.float64)
    if not (np.isfinite(flat).all() and count >= 0):
        raise InputError(
            f"projecting scores got a count of {count} and scores from {flat.min(initial=0)} to "
            f"{flat.max(initial=0)}; expected finite scores and a count of at least 0"
        )
    v = _shift(flat, count)
    return [np.clip(s - s.dtype.type(v), 0, 1) for s in scores]


def _shift(flat: Array, count: float) -> float:
    if np.clip(flat, 0, 1).sum() <= count:
        return 0.0
    # Beyond breakpoint b, slope -1 for each s with s - 1 < b < s.
    points = np.concatenate([flat - 1, flat])
    order = np.argsort(points, kind="stable")
    points = points[order]
    slopes = -np.cumsum(np.where(order < flat.size, 1.0, -1.0))
    sums = np.empty(points.size)
    sums[0] = flat.size  # all scores, shifted by the lowest breakpoint, are at least 1
    sums[1:] = flat.size + np.cumsum(slopes[:-1] * np.diff(points))
    after = int(np.searchsorted(-sums, -count))  # first breakpoint whose sum is at most count
    if after == 0:
        return max(float(points[0]), 0.0)
    if after == points.size or sums[after] == count or slopes[after - 1] == 0:
        return max(float(points[min(after, points.size - 1)]), 0.0)
    return max(float(points[after - 1] + (count - sums[after - 1]) / slopes[after - 1]), 0.0)


def cubic_density(progress: float, final: float, start: float = 0.16, stop: float = 0.6) -> float:
    """Return the share of kept weights at ``progress``, from 0 to 1 of the run.

    1 until ``start``, then final + (1 - final)(1 - x)^3 with x from 0 to 1, ``final`` from ``stop``
    on.
    """
    if progress <= start:
        return 1.0
    if progress >= stop:
        return final
    return final + (1 - final) * (1 - (progress - start) / (stop - start)) ** 3


def falling_temperature(progress: float, last: float = 0.03) -> float:
    """Return the temperature at ``progress``: from 1 linearly to ``last`` at the end."""
    return (1 - last) * (1 - progress) + last


def _inside(scores: Array) -> Array:
    return np.clip(scores, SCORE_MARGIN, 1 - SCORE_MARGIN)
