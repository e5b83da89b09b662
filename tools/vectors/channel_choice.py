"""Keep ratios on a budget, and the channels that stay, derived a second time.

Ratios by halving in extended precision; channels by taking one after the other from the groups and
adding up the whole cost each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

from tools.vectors.channels import channel_cost
from tools.vectors.exact import Decisions, exact

Outputs = dict[str, Any]
Cost = Callable[[list[int]], mpf]
Wish = Callable[[int, int], Any]
"""Of a group and its count; the least is the first to gain a unit."""
HALVINGS = 260
SWEEPS = 400
SETTLED = mpf(10) ** -60


def _cost(alpha: Any, pairs: Any, single: Any, fixed: float) -> mpf:
    return channel_cost(Decisions(), alpha, pairs, single, fixed)["cost"].item()


def expand_ratios(
    decide: Decisions, alive: Any, pairs: Any, single: Any, fixed: float, budget: float, units: Any
) -> Outputs:
    """Halve the common factor of all ratios, which are at least a unit and at most 1."""
    live, lowest = exact(alive), 1 / exact(units)

    def at(width: mpf) -> np.ndarray:
        pairs_ = zip(live, lowest, strict=True)
        return np.array([min(max(width * a, low), mpf(1)) for a, low in pairs_], dtype=object)

    low, high = mpf(0), 1 / min(live)
    if decide.compare(_cost(at(high), pairs, single, fixed), budget) <= 0:
        return {"ratios": at(high)}
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        over = _cost(at(middle), pairs, single, fixed) > mpf(budget)
        low, high = (low, middle) if over else (middle, high)
    return {"ratios": at(low)}


def project_keep_ratios(
    decide: Decisions, y: Any, pairs: Any, single: Any, fixed: float, budget: float, lowest: Any
) -> Outputs:
    """Halve the multiplier of F; for each, minimise over one ratio after the other.

    The minimum in one ratio is where the derivative of |z - y|^2 / 2 + l F(z) / F(1) is 0.
    """
    wanted, low_, A, B = exact(y), exact(lowest), exact(pairs), exact(single)
    whole = _cost(np.array([mpf(1)] * len(wanted), dtype=object), A, B, fixed)

    def minimum(weight: mpf, z: np.ndarray) -> np.ndarray:
        z = z.copy()
        for _ in range(SWEEPS):
            before = z.copy()
            for i in range(len(z)):
                others = mp.fsum((A[i, j] + A[j, i]) * z[j] for j in range(len(z)) if j != i)
                top = wanted[i] - weight / whole * (B[i] + others)
                z[i] = min(max(top / (1 + 2 * weight / whole * A[i, i]), low_[i]), mpf(1))
            if max(abs(z - before)) < SETTLED:
                break
        return z

    clipped = minimum(mpf(0), wanted)
    if decide.compare(_cost(clipped, pairs, single, fixed), budget) <= 0:
        return {"ratios": clipped}
    under, over, z = mpf(1), mpf(0), clipped
    while _cost(minimum(under, z), pairs, single, fixed) > mpf(budget):
        under, over = 2 * under, under
    for _ in range(HALVINGS):
        middle = (under + over) / 2
        z = minimum(middle, z)
        above = _cost(z, pairs, single, fixed) > mpf(budget)
        under, over = (under, middle) if above else (middle, over)
    return {"ratios": minimum(under, z)}


def select_by_scores(
    decide: Decisions, scores: Any, pairs: Any, single: Any, fixed: float, budget: float
) -> Outputs:
    """Take the lowest score of all groups, but the last of none, until the budget is met."""
    counts = [len(own) for own in scores]
    ranked = [sorted(own.tolist()) for own in scores]
    cost = _counted(counts, pairs, single, fixed)
    while decide.compare(cost(counts), budget) > 0:
        lost = [len(own) - n for own, n in zip(ranked, counts, strict=True)]
        counts[_least(decide, {k: ranked[k][lost[k]] for k, n in enumerate(counts) if n > 1})] -= 1

    def wish(k: int, n: int) -> float:
        return -float(ranked[k][len(ranked[k]) - n - 1])  # the highest that fell

    return _chosen(decide, scores, counts, wish, cost, budget)


def select_by_ratios(
    decide: Decisions, alpha: Any, scores: Any, pairs: Any, single: Any, fixed: float, budget: float
) -> Outputs:
    """Round ratios down, take from the group furthest above its ratio, then give where it fits."""
    a, sizes, counts = exact(alpha), [len(own) for own in scores], []
    for ratio, size in zip(a, sizes, strict=True):
        decide.compare(ratio * size, mp.nint(ratio * size))
        counts.append(min(max(int(mp.floor(ratio * size)), 1), size))
    cost = _counted(sizes, pairs, single, fixed)
    while decide.compare(cost(counts), budget) > 0:
        surplus = {k: a[k] - mpf(n) / sizes[k] for k, n in enumerate(counts) if n > 1}
        counts[_least(decide, surplus)] -= 1
    return _chosen(decide, scores, counts, lambda k, n: mpf(n) / sizes[k] - a[k], cost, budget)


def _counted(sizes: list[int], pairs: Any, single: Any, fixed: float) -> Cost:
    sides = list(sizes)

    def cost(counts: list[int]) -> mpf:
        shares = [mpf(n) / size for n, size in zip(counts, sides, strict=True)]
        return _cost(np.array(shares, dtype=object), pairs, single, fixed)

    return cost


def _least(decide: Decisions, values: dict[int, Any]) -> int:
    """Return the key of the least value; of equal ones the first."""
    best = min(values, key=lambda k: (values[k], k))
    for k in values.keys() - {best}:
        decide.compare(values[best], values[k])
    return best


def _chosen(
    decide: Decisions, scores: Any, counts: list[int], wish: Wish, cost: Cost, budget: float
) -> Outputs:
    """Add units while they fit, exchange some if 1 % of the budget is left, keep the highest."""
    sizes = [len(own) for own in scores]
    counts = _filled(decide, sizes, counts, wish, cost, budget)
    while decide.compare(cost(counts), mpf(99) / 100 * mpf(budget)) < 0:
        tried = [counts]  # so that a cost as low as this one does not win
        for k in (k for k, n in enumerate(counts) if n < sizes[k]):
            fewer = _with_room_for(decide, k, counts, wish, cost, budget)
            if fewer is not None:
                tried.append(_filled(decide, sizes, fewer, wish, cost, budget))
        left = {i: -cost(now) for i, now in enumerate(tried) if now not in tried[:i]}
        found = tried[_least(decide, left)]
        if found == counts:
            break
        counts = found
    masks = []
    for own, n in zip(scores, counts, strict=True):
        order = sorted(range(len(own)), key=lambda i, own=own: (-own[i], i))  # type: ignore[misc]
        masks += [mpf(i in order[:n]) for i in range(len(own))]
    return {"masks": np.array(masks, dtype=object)}


def _with_room_for(
    decide: Decisions, k: int, counts: list[int], wish: Wish, cost: Cost, budget: float
) -> list[int] | None:
    """Give group k a unit and take those of the greatest wish from others until it fits."""
    counts = [n + (i == k) for i, n in enumerate(counts)]
    while decide.compare(cost(counts), budget) > 0:
        others = {i: -wish(i, n - 1) for i, n in enumerate(counts) if i != k and n > 1}
        if not others:
            return None
        counts[_least(decide, others)] -= 1
    return counts


def _filled(
    decide: Decisions, sizes: list[int], counts: list[int], wish: Wish, cost: Cost, budget: float
) -> list[int]:
    """Add units, of the least wish first, while they fit."""
    counts = list(counts)
    while True:
        fits = {}
        for k, size in enumerate(sizes):
            if counts[k] < size:
                more = [n + (i == k) for i, n in enumerate(counts)]
                if decide.compare(cost(more), budget) <= 0:
                    fits[k] = wish(k, counts[k])
        if not fits:
            return counts
        counts[_least(decide, fits)] += 1
