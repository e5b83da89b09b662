"""The cost of a network as a function of the keep ratios of its channel groups, and budgets on it.

A convolution that reads group i and makes group j costs in proportion to alpha_i alpha_j, one that
reads the image or keeps channels separate to one ratio.  Over all layers (Ning et al., 2020):

    F(alpha) = alpha^T A alpha + B alpha + c,    alpha in (0, 1]^G.

c is the cost that no group changes; it is 0 where every layer reads or makes a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]

STEPS = 200
"""Most halvings of a bracket: more than float64 has bits to distinguish."""


@dataclass(frozen=True)
class ChannelCosts:
    """The coefficients of F.

    pairs: A (G, G), at [i, j] for layers that read group i and make group j; not symmetric.
    single: B (G,).  fixed: c.  All are at least 0.
    """

    pairs: Array
    single: Array
    fixed: float = 0.0

    @property
    def whole(self) -> float:
        """F(1), the cost of the dense network."""
        return float(self.pairs.sum() + self.single.sum() + self.fixed)


def channel_cost(alpha: Array, costs: ChannelCosts) -> float:
    """Return F(alpha) = alpha^T A alpha + B alpha + c for keep ratios (G,)."""
    return float(alpha @ costs.pairs @ alpha + costs.single @ alpha + costs.fixed)


def channel_cost_gradient(alpha: Array, costs: ChannelCosts) -> Array:
    """Return dF/dalpha = (A + A^T) alpha + B, (G,)."""
    return np.asarray((costs.pairs + costs.pairs.T) @ alpha + costs.single)


def check_budget(costs: ChannelCosts, budget: float, lowest: Array) -> None:
    """Raise InputError for a budget below F(lowest)."""
    least = channel_cost(lowest, costs)
    if not budget >= least:
        raise InputError(
            f"the budget is {budget:g}, {budget / costs.whole:.4f} of the dense network's cost, "
            f"and the fewest channels of every group cost {least / costs.whole:.4f}; use a lower "
            "target"
        )


def uniform_keep_ratio(costs: ChannelCosts, budget: float, lowest: Array) -> Array:
    """Return max(a, lowest) with the largest common a in [0, 1] that costs at most ``budget``.

    lowest: (G,), the least keep ratio of each group.
    Raises InputError for a budget below F(lowest).
    """
    check_budget(costs, budget, lowest)
    low, high = 0.0, 1.0
    if channel_cost(np.ones_like(lowest), costs) <= budget:
        return np.ones_like(lowest)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if channel_cost(np.maximum(middle, lowest), costs) <= budget:
            low = middle
        else:
            high = middle
    return np.maximum(low, lowest)


def project_keep_ratios(y: Array, costs: ChannelCosts, budget: float, lowest: Array) -> Array:
    """Return keep ratios z near y (G,) with F(z) <= budget and lowest <= z <= 1.

    Where y clipped to the box is too expensive, z is the stationary point of

        |z - y|^2 / 2 + l F(z) / F(1)    in the box,

    with the multiplier l >= 0, found by bisection, at which F(z) = budget.  Where F is convex it is
    the Euclidean projection.
    Raises InputError for a budget below F(lowest), and for y that is not finite.
    """
    check_budget(costs, budget, lowest)
    if not np.isfinite(y).all():
        raise InputError(f"keep ratios are {y.tolist()}; expected finite numbers")
    clipped = np.clip(y, lowest, 1.0)
    if channel_cost(clipped, costs) <= budget:
        return clipped
    low, high, z = 0.0, 1.0, clipped
    while channel_cost(z := _penalised(y, costs, high, lowest, z), costs) > budget:
        low, high = high, 2 * high
        if high > 1e15:  # the budget is F(lowest), to rounding
            return lowest.copy()
    best = z
    for _ in range(STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        z = _penalised(y, costs, middle, lowest, z)
        if channel_cost(z, costs) <= budget:
            high, best = middle, z
        else:
            low = middle
    return best


def _penalised(y: Array, costs: ChannelCosts, weight: float, lowest: Array, z: Array) -> Array:
    """Return the minimum over the box of |z - y|^2 / 2 + weight F(z) / F(1), by coordinates.

    Each coordinate's minimum is exact; sweeps repeat until none moves.
    """
    scaled = weight / costs.whole
    both = scaled * (costs.pairs + costs.pairs.T)
    own = np.diag(both)
    z = z.copy()
    for _ in range(STEPS):
        before = z.copy()
        for i in range(len(z)):
            pull = y[i] - scaled * costs.single[i] - (both[i] @ z - own[i] * z[i])
            z[i] = min(max(pull / (1 + own[i]), lowest[i]), 1.0)
        if np.abs(z - before).max(initial=0) <= 1e-13:
            break
    return z
