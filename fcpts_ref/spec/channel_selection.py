"""The channels that stay, on a budget: by keep ratios of the groups, or by scores across them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.spec.channel_budget import ChannelCosts, channel_cost, check_budget

Array = NDArray[Any]
Masks = list[NDArray[np.bool_]]
Wish = Callable[[Array], Array]
"""Of counts (G,): how much each group wishes for one unit more, (G,)."""
CLOSE = 0.01
"""The share of the budget that may be left before units are exchanged (convention DSA-11)."""


@dataclass(frozen=True)
class _Room:
    """What counts of units must fit: sizes and least (G,), costs and a budget."""

    sizes: Array
    least: Array
    costs: ChannelCosts
    budget: float

    def cost(self, counts: Array) -> float:
        return float(channel_cost(counts / self.sizes, self.costs))

    def fits(self, counts: Array) -> bool:
        return self.cost(counts) <= self.budget


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
    their ratio first, as long as they fit.  If more than a hundredth of the budget is left, one
    group gains a unit for which those furthest above their ratio lose some.
    Raises InputError for scores that are not finite, and a budget that no choice meets.
    """
    room = _checked_room(scores, costs, budget, least)
    sizes = room.sizes
    counts = np.clip(np.floor(alpha * sizes + 1e-9), room.least, sizes)
    while not room.fits(counts):
        surplus = np.where(counts > room.least, counts / sizes - alpha, -np.inf)
        counts[int(surplus.argmax())] -= 1
    counts = _close(counts, room, lambda now: alpha - now / sizes)
    return [_highest(score, int(n)) for score, n in zip(scores, counts, strict=True)]


def select_by_scores(
    scores: Sequence[Array], costs: ChannelCosts, budget: float, least: Array | None = None
) -> Masks:
    """Return masks (units,) of every group that keep the highest scores of all groups together.

    Units fall in the order of their scores, but for the ``least`` highest of each group, until the
    budget is met; then groups gain the highest that fell, as long as they fit.  If more than a
    hundredth of the budget is left, one group gains a unit for which the lowest of others fall.
    Raises InputError as ``select_by_ratios``.
    """
    room = _checked_room(scores, costs, budget, least)
    counts = room.sizes.copy()
    ranked = [np.sort(score) for score in scores]  # a group loses its lowest first
    falling = sorted(
        (float(v), k) for k, own in enumerate(ranked) for v in own[: len(own) - int(room.least[k])]
    )
    for _, k in falling:
        if room.fits(counts):
            break
        counts[k] -= 1

    def fallen(now: Array) -> Array:
        lost = (room.sizes - now).astype(np.int64)
        return np.array([own[n - 1] if n else -np.inf for own, n in zip(ranked, lost, strict=True)])

    counts = _close(counts, room, fallen)
    return [_highest(score, int(n)) for score, n in zip(scores, counts, strict=True)]


def _close(counts: Array, room: _Room, wish: Wish) -> Array:
    """Return filled counts, after exchanges that bring the cost closer if too much is left."""
    best = _filled(counts, room, wish)
    while (reached := room.cost(best)) < (1 - CLOSE) * room.budget:
        tried = [_exchanged(best, int(k), room, wish) for k in np.flatnonzero(best < room.sizes)]
        closest = max(tried, key=room.cost, default=best)
        if room.cost(closest) <= reached:
            break
        best = closest
    return best


def _exchanged(counts: Array, k: int, room: _Room, wish: Wish) -> Array:
    """Return counts with a unit more of group k, for which others lose those of the least wish.

    Unchanged if the others cannot make room.
    """
    now = counts.copy()
    now[k] += 1
    while not room.fits(now):
        may_lose = now > room.least
        may_lose[k] = False
        if not may_lose.any():
            return counts
        now[int(np.where(may_lose, wish(now - may_lose), np.inf).argmin())] -= 1
    return _filled(now, room, wish)


def _filled(counts: Array, room: _Room, wish: Wish) -> Array:
    """Return counts to which units were added, that of the greatest wish first, while they fit."""
    counts, one = counts.copy(), np.eye(len(counts))
    while True:
        order = np.argsort(-wish(counts), kind="stable")
        fits = (k for k in order if counts[k] < room.sizes[k] and room.fits(counts + one[k]))
        k = next(fits, None)
        if k is None:
            return counts
        counts[k] += 1


def _highest(score: Array, count: int) -> NDArray[np.bool_]:
    """The mask of the highest scores; of equal ones, the first."""
    mask = np.zeros(len(score), np.bool_)
    mask[np.argsort(-score, kind="stable")[:count]] = True
    return mask


def _checked_room(
    scores: Sequence[Array], costs: ChannelCosts, budget: float, least: Array | None
) -> _Room:
    """Return the room of groups that have a score for each unit."""
    for score in scores:
        if not np.isfinite(score).all():
            raise InputError("scores of channels hold NaN or infinity; expected finite numbers")
    sizes = np.array([len(score) for score in scores], np.float64)
    least = np.ones_like(sizes) if least is None else least
    check_budget(costs, budget, least / sizes)
    return _Room(sizes, least, costs, budget)
