"""Keep ratios of channel groups that meet a budget (DSA's choices 9 and 10)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.pruning.channels.space import Space
from fcpts_ref.spec.channel_budget import channel_cost, project_keep_ratios
from fcpts_ref.spec.channel_pruning import FLOOR
from fcpts_ref.spec.channel_regularisers import expand_ratios

Array = NDArray[Any]


def followed_ratios(ratios: Array, space: Space, budget: float) -> Array:
    """Return ratios (G,) that follow a falling budget by one common factor."""
    if channel_cost(ratios, space.costs) <= budget:
        return ratios
    return _scaled(ratios, space, budget)


def on_budget(ratios: Array, space: Space, budget: float) -> Array:
    """Return the projection P of ratios (G,) onto the budget.

    Below the budget they are raised by one common factor: what is not spent helps nothing.
    """
    nearest = project_keep_ratios(ratios, space.costs, budget, lowest_ratios(space))
    return _scaled(nearest, space, budget)


def _scaled(ratios: Array, space: Space, budget: float) -> Array:
    return expand_ratios(ratios, space.costs, budget, 1 / lowest_ratios(space))


def lowest_ratios(space: Space) -> Array:
    """Return the least keep ratio of each group, (G,): ``space.lowest``, and above p's floor."""
    return np.minimum(np.maximum(space.lowest, 2 * FLOOR), 1.0)
