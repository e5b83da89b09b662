"""DSA's pruning process and cost derived a second time.

The threshold is found by halving in extended precision, the gradient of the keep ratio by
differences of the whole solve, and the cost by adding up pairs of channels one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpmath import exp, log, mp, mpf, sign

from tools.vectors.exact import STEP, Decisions, exact, zeros

Outputs = dict[str, Any]
OFFSET = mpf("1e-8")
HALVINGS = 320  # of a bracket below 2^12 wide: 2^-300 is left


def _probabilities(importance: np.ndarray, at: mpf, steepness: mpf, floor: mpf) -> np.ndarray:
    """By beta1 itself: 1 / (1 + (beta1 / b)^beta2), mixed with the floor."""
    p = zeros(importance.shape)
    for i, b in enumerate(importance):
        odds = exp(steepness * (log(b + OFFSET) - at))
        p[i] = floor + (1 - floor) * odds / (1 + odds)
    return p


def _solve(importance: np.ndarray, ratio: mpf, steepness: mpf, floor: mpf) -> mpf:
    low, high = mpf(-2000), mpf(2000)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mean = mp.fsum(_probabilities(importance, middle, steepness, floor)) / len(importance)
        low, high = (middle, high) if mean > ratio else (low, middle)
    return (low + high) / 2


def keep_probabilities(
    decide: Decisions, importance: Any, log_threshold: float, steepness: float, floor: float
) -> Outputs:
    at, floor_ = mpf(log_threshold), mpf(floor)
    return {"p": _probabilities(exact(importance), at, mpf(steepness), floor_)}


def solve_log_threshold(
    decide: Decisions, importance: Any, ratio: float, steepness: float, floor: float
) -> Outputs:
    found = _solve(exact(importance), mpf(ratio), mpf(steepness), mpf(floor))
    return {"log_threshold": np.array(found, dtype=object)}


def keep_ratio_gradient(
    decide: Decisions,
    importance: Any,
    ratio: float,
    steepness: float,
    floor: float,
    dmask: Any,
) -> Outputs:
    """(P(alpha + h) - P(alpha - h)) / 2h with P = sum of dL/dm p, solved anew at both ends."""
    b, dm = exact(importance), exact(dmask)
    ends = []
    for side in (1, -1):
        alpha = mpf(ratio) + side * STEP
        at = _solve(b, alpha, mpf(steepness), mpf(floor))
        p = _probabilities(b, at, mpf(steepness), mpf(floor))
        ends.append(mp.fsum(g * q for g, q in zip(dm, p, strict=True)))
    return {"dratio": np.array((ends[0] - ends[1]) / (2 * STEP), dtype=object)}


def score_gradient(
    decide: Decisions,
    importance: Any,
    ratio: float,
    steepness: float,
    floor: float,
    masks: Any,
    losses: Any,
) -> Outputs:
    """S = (log P(m; alpha + h) - log P(m; alpha - h)) / 2h, solved anew at both ends."""
    b, found = exact(importance), []
    for mask in masks:
        ends = []
        for side in (1, -1):
            at = _solve(b, mpf(ratio) + side * STEP, mpf(steepness), mpf(floor))
            p = _probabilities(b, at, mpf(steepness), mpf(floor))
            ends.append(mp.fsum(log(q if m else 1 - q) for m, q in zip(mask, p, strict=True)))
        found.append((ends[0] - ends[1]) / (2 * STEP))
    one, other = exact(losses)
    estimate = (one - other) * (found[0] - found[1]) / 2
    return {"dratio": np.array(estimate, dtype=object)}


def draw_mask(decide: Decisions, probabilities: Any, uniform: Any) -> Outputs:
    kept = [
        mpf(decide.compare(u, p) < 0)
        for p, u in zip(probabilities.tolist(), uniform.tolist(), strict=True)
    ]
    return {"mask": np.array(kept, dtype=object)}


def channel_cost(decide: Decisions, alpha: Any, pairs: Any, single: Any, fixed: float) -> Outputs:
    """F and dF/dalpha, term by term."""
    a, A, B = exact(alpha), exact(pairs), exact(single)
    G = len(a)
    cost, slope = mpf(fixed), zeros((G,))
    for i in range(G):
        cost += B[i] * a[i]
        slope[i] += B[i]
        for j in range(G):
            cost += A[i, j] * a[i] * a[j]
            slope[i] += A[i, j] * a[j]
            slope[j] += A[i, j] * a[i]
    return {"cost": np.array(cost, dtype=object), "dalpha": slope}


def group_shrinkage(decide: Decisions, norms: Any, amount: float) -> Outputs:
    factors = [
        (mpf(n) - mpf(amount)) / mpf(n) if decide.compare(n, amount) > 0 else mpf(0)
        for n in norms.tolist()
    ]
    return {"factors": np.array(factors, dtype=object)}


def scale_penalty_gradient(decide: Decisions, scale: Any, weight: float) -> Outputs:
    return {"dscale": np.array([mpf(weight) * sign(mpf(s)) for s in scale.tolist()], dtype=object)}
