"""The channels that stay, on a budget: by keep ratios of the groups, or by scores across them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.spec.channel_budget import ChannelCosts, channel_cost, check_budget

Array = NDArray[Any]
Masks = list[NDArray[np.bool_]]


def select_by_ratios(
    alpha: Array,
    scores: Sequence[Array],
    costs: ChannelCosts,
    budget: float,
    least: Array | None = None,
) -> Masks:
    """Return masks (units,) of every group with about the share alpha_k of its units.

    scores: (units,) of each group; the highest stay.  least: (G,), the fewest units that each group
    keeps; by default one.  alpha is rounded down, to no fewer than these; while the cost exceeds
    the budget, the group furthest above its ratio loses one; then groups gain units, furthest below
    their ratio first, as long as they fit.
    Raises InputError for scores that are not finite, and a budget that no choice meets.
    """
    sizes, least = _checked_sizes(scores, costs, budget, least)
    counts = np.clip(np.floor(alpha * sizes + 1e-9), least, sizes)
    while channel_cost(counts / sizes, costs) > budget:
        surplus = np.where(counts > least, counts / sizes - alpha, -np.inf)
        counts[int(surplus.argmax())] -= 1
    counts = _filled(counts, sizes, costs, budget, lambda now: alpha - now / sizes)
    return [_highest(score, int(n)) for score, n in zip(scores, counts, strict=True)]


def select_by_scores(
    scores: Sequence[Array], costs: ChannelCosts, budget: float, least: Array | None = None
) -> Masks:
    """Return masks (units,) of every group that keep the highest scores of all groups together.

    Units fall in the order of their scores, but for the ``least`` highest of each group, until the
    budget is met; then groups gain the highest that fell, as long as they fit.
    Raises InputError as ``select_by_ratios``.
    """
    sizes, least = _checked_sizes(scores, costs, budget, least)
    counts = sizes.copy()
    ranked = [np.sort(score) for score in scores]  # a group loses its lowest first
    falling = sorted(
        (float(v), k) for k, own in enumerate(ranked) for v in own[: len(own) - int(least[k])]
    )
    for _, k in falling:
        if channel_cost(counts / sizes, costs) <= budget:
            break
        counts[k] -= 1

    def fallen(now: Array) -> Array:
        lost = (sizes - now).astype(np.int64)
        return np.array([own[n - 1] if n else -np.inf for own, n in zip(ranked, lost, strict=True)])

    counts = _filled(counts, sizes, costs, budget, fallen)
    return [_highest(score, int(n)) for score, n in zip(scores, counts, strict=True)]


def _filled(counts: Array, sizes: Array, costs: ChannelCosts, budget: float, wish: Any) -> Array:
    """Return counts to which units were added, that of the greatest wish first, while they fit."""
    counts, one = counts.copy(), np.eye(len(sizes))
    while True:
        order = np.argsort(-wish(counts), kind="stable")
        fits = (
            k
            for k in order
            if counts[k] < sizes[k] and channel_cost((counts + one[k]) / sizes, costs) <= budget
        )
        k = next(fits, None)
        if k is None:
            return counts
        counts[k] += 1


def _highest(score: Array, count: int) -> NDArray[np.bool_]:
    """The mask of the highest scores; of equal ones, the first."""
    mask = np.zeros(len(score), np.bool_)
    mask[np.argsort(-score, kind="stable")[:count]] = True
    return mask


def _checked_sizes(
    scores: Sequence[Array], costs: ChannelCosts, budget: float, least: Array | None
) -> tuple[Array, Array]:
    """Return the number of units of each group, and the fewest that it keeps, (G,) each."""
    for score in scores:
        if not np.isfinite(score).all():
            raise InputError("scores of channels hold NaN or infinity; expected finite numbers")
    sizes = np.array([len(score) for score in scores], np.float64)
    least = np.ones_like(sizes) if least is None else least
    check_budget(costs, budget, least / sizes)
    return sizes, least
