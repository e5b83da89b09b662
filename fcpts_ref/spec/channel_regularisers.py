"""Penalties of the methods that DSA is compared with, and MorphNet's expansion.

network slimming (Liu et al., 2017): lambda sum |gamma|.  MorphNet (Gordon et al., 2018): the same,
each gamma weighted by the cost of its channel.  SSL (Wen et al., 2016): lambda sum of the norms of
groups of weights, whose proximal step makes whole groups exactly 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.spec.channel_budget import STEPS, ChannelCosts, channel_cost

Array = NDArray[Any]


def scale_penalty_gradient(scale: Array, weight: float) -> Array:
    """Return weight * sign(gamma), a subgradient of weight * |gamma|, in gamma's dtype."""
    return np.asarray(scale.dtype.type(weight) * np.sign(scale))


def group_shrinkage(norms: Array, amount: float) -> Array:
    """Return max(1 - amount / norm, 0), the factor of each group in the proximal step.

    norms: (groups,), at least 0; a group of norm 0 stays at 0.
    """
    safe = np.where(norms > 0, norms, 1.0)
    return np.asarray(np.where(norms > 0, np.maximum(1 - amount / safe, 0), 0.0))


def expand_ratios(alive: Array, costs: ChannelCosts, budget: float, units: Array) -> Array:
    """Return min(w * alive, 1), at least 1 / units, with the largest common w on the budget.

    alive: (G,) shares of units that the penalty left; units: (G,), the inverse of the least ratio.
    w may be below 1.
    """
    lowest = 1 / units

    def ratios(width: float) -> Array:
        return np.clip(width * alive, lowest, 1.0)

    low, high = 0.0, float(1 / alive.min())
    if channel_cost(ratios(high), costs) <= budget:
        return ratios(high)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if channel_cost(ratios(middle), costs) <= budget:
            low = middle
        else:
            high = middle
    return ratios(low)
