"""Operations of the vectors whose inputs differ from those of the methods' equations.

Gradients start from the inputs of the forward operation, masks are numbers, and the arrays of all
layers are one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.spec import (
    channel_budget,
    channel_pruning,
    channel_regularisers,
    channel_selection,
    patterns,
    probabilistic_masks,
    regrowth,
    threshold_pruning,
)
from fcpts_ref.spec import soft_top_k as spartan
from fcpts_ref.spec.channel_pruning import solve_log_threshold


def keep_ratio_gradient(
    importance: Any, ratio: float, steepness: float, floor: float, dmask: Any
) -> float:
    """The gradient of a keep ratio at the threshold that gives it."""
    at = solve_log_threshold(importance, ratio, steepness, floor)
    return channel_pruning.keep_ratio_gradient(importance, at, steepness, dmask)


def score_gradient(
    importance: Any, ratio: float, steepness: float, floor: float, masks: Any, losses: Any
) -> float:
    """The estimate of a keep ratio's gradient from two draws, masks (2, C) and losses (2,)."""
    at = solve_log_threshold(importance, ratio, steepness, floor)
    return channel_pruning.score_gradient(importance, at, steepness, tuple(masks), losses, floor)


def channel_cost(alpha: Any, pairs: Any, single: Any, fixed: float) -> tuple[float, Any]:
    """F(alpha) and its gradient."""
    costs = channel_budget.ChannelCosts(pairs, single, fixed)
    cost = channel_budget.channel_cost(alpha, costs)
    return cost, channel_budget.channel_cost_gradient(alpha, costs)


def soft_mask_temperature(weight: Any, scale: float) -> Any:
    """LTP's temperature of a layer."""
    return threshold_pruning.temperature(weight, scale)


def soft_mask_gradients(
    weight: Any,
    threshold: float,
    temperature: float,
    deffective: Any,
    penalty: float,
    exact_gradient: bool,
) -> Any:
    """LTP's gradients by weights and threshold."""
    a = threshold_pruning.soft_mask(weight, threshold, temperature)
    return threshold_pruning.soft_mask_gradients(
        weight, a, temperature, deffective, penalty, exact=exact_gradient
    )


def relaxed_mask_gradient(scores: Any, noise: Any, temperature: float, dmask: Any) -> Any:
    """ProbMask's gradient by the scores."""
    m = probabilistic_masks.relaxed_mask(scores, noise, temperature)
    return probabilistic_masks.relaxed_mask_gradient(scores, m, temperature, dmask)


def project_scores(scores: list[Any], count: float) -> Any:
    """ProbMask's scores of all layers after the projection, flattened and concatenated."""
    return np.concatenate([s.ravel() for s in probabilistic_masks.project_scores(scores, count)])


def regrown_mask(weight: Any, mask: Any, gradient: Any, share: float) -> Any:
    """RigL's mask after a replacement."""
    return regrowth.regrown_mask(weight, mask.astype(np.bool_), gradient, share)


def soft_top_k_gradient(values: Any, count: int, sharpness: float, dmask: Any) -> Any:
    """Spartan's gradient by the values."""
    m = spartan.soft_top_k(values, count, sharpness)
    return spartan.soft_top_k_gradient(m, sharpness, dmask)


def block_norms(weight: Any, rows: int, columns: int, layout: Any) -> tuple[Any, Any]:
    """The sides of a weight's blocks, and their norms."""
    sides = patterns.block_sides(weight.shape, rows, columns, layout)
    return np.array(sides), patterns.block_norms(weight, sides, layout)


def expand_ratios(
    alive: Any, pairs: Any, single: Any, fixed: float, budget: float, units: Any
) -> Any:
    """MorphNet's ratios of all groups."""
    costs = channel_budget.ChannelCosts(pairs, single, fixed)
    return channel_regularisers.expand_ratios(alive, costs, budget, units)


def project_keep_ratios(
    y: Any, pairs: Any, single: Any, fixed: float, budget: float, lowest: Any
) -> Any:
    """DSA's ratios on the budget."""
    costs = channel_budget.ChannelCosts(pairs, single, fixed)
    return channel_budget.project_keep_ratios(y, costs, budget, lowest)


def select_by_scores(
    scores: list[Any], pairs: Any, single: Any, fixed: float, budget: float
) -> Any:
    """The masks of all groups by their units' scores, concatenated."""
    costs = channel_budget.ChannelCosts(pairs, single, fixed)
    return np.concatenate(channel_selection.select_by_scores(scores, costs, budget))


def select_by_ratios(
    alpha: Any, scores: list[Any], pairs: Any, single: Any, fixed: float, budget: float
) -> Any:
    """The masks of all groups by their keep ratios, concatenated."""
    costs = channel_budget.ChannelCosts(pairs, single, fixed)
    return np.concatenate(channel_selection.select_by_ratios(alpha, scores, costs, budget))
