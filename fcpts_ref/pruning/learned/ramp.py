"""A rate that rises to the target, and thresholds that meet it in every step."""

from __future__ import annotations

import numpy as np

from fcpts_ref.pruning.fcpts.step import projected
from fcpts_ref.pruning.learned.state import Array, Arrays
from fcpts_ref.pruning.problem import Problem


def ramped(problem: Problem, share: float) -> Problem:
    """Return the problem at a share, from 0 to 1, of its target."""
    return problem if share >= 1 else problem.aiming(share * problem.target)


def thresholds_in_ratio(problem: Problem, weights: Arrays, ratio: Array) -> Array:
    """Return thresholds (L,) in this ratio that prune the budget, within the layers' bounds.

    No weight is at its threshold; nothing is pruned if the budget is 0.
    """
    if problem.count == 0:
        return np.zeros(len(ratio))
    return projected(problem, weights, ratio)
