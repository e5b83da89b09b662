"""Subtly wrong implementations of DSA's equations are caught by ``check``, at the right cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from mutation import replaced
from scipy.special import expit

from fcpts_ref.oracle.adapters import load_python_adapter
from fcpts_ref.oracle.check import check
from fcpts_ref.oracle.report import format_report
from fcpts_ref.oracle.vectors import load_cases
from fcpts_ref.spec import (
    channel_budget,
    channel_pruning,
    channel_regularisers,
    channel_selection,
)
from fcpts_ref.spec.channel_budget import channel_cost

CASES = load_cases()
REFERENCE = load_python_adapter("reference")
Wrong = Callable[..., Any]


class Mutant(NamedTuple):
    """original: the function to replace; wrong: makes the wrong one; operation: that shows it."""

    name: str
    original: Wrong
    wrong: Callable[[Wrong], Wrong]
    operation: str


def _floor_added(right: Wrong) -> Wrong:
    """As published: the floor is added and the sum clipped."""

    def keep(importance: Any, log_threshold: float, steepness: float, floor: float) -> Any:
        x = steepness * (np.log(importance + 1e-8) - log_threshold)
        return np.minimum(expit(x) + floor, 1.0)

    return keep


def _uncapped(right: Wrong) -> Wrong:
    """One factor on all, above 1 too."""

    def expand(alive: Any, costs: Any, budget: float, units: Any) -> Any:
        low, high = 0.0, 100.0
        for _ in range(200):
            middle = (low + high) / 2
            over = channel_cost(np.maximum(middle * alive, 1 / units), costs) > budget
            low, high = (low, middle) if over else (middle, high)
        return np.maximum(low * alive, 1 / units)

    return expand


def _scaled(y: Any, costs: Any, budget: float, lowest: Any) -> Any:
    clipped = np.clip(y, lowest, 1)
    if channel_cost(clipped, costs) <= budget:
        return clipped
    return channel_regularisers.expand_ratios(clipped, costs, budget, 1 / lowest)


def _one_step(y: Any, costs: Any, budget: float, lowest: Any) -> Any:
    """Along the gradient at y, as far as the budget asks."""
    low, high, slope = 0.0, 10.0, channel_budget.channel_cost_gradient(y, costs) / costs.whole
    for _ in range(200):
        middle = (low + high) / 2
        over = channel_cost(np.clip(y - middle * slope, lowest, 1), costs) > budget
        low, high = (middle, high) if over else (low, middle)
    return np.clip(y - high * slope, lowest, 1)


def _without_last(right: Wrong, scores: Any, costs: Any, budget: float) -> Any:
    """Units fall in the order of their scores alone."""
    right(scores, costs, budget)  # refuses bad input
    order = sorted((v, k, i) for k, own in enumerate(scores) for i, v in enumerate(own.tolist()))
    masks = [np.ones(len(own), np.bool_) for own in scores]
    for _, k, i in order:
        if channel_cost(np.array([m.mean() for m in masks]), costs) <= budget:
            break
        masks[k][i] = False
    return masks


def _rounded(a: Any, scores: Any, costs: Any, budget: float, least: Any = None) -> Any:
    sizes = np.array([len(own) for own in scores])
    counts = np.clip(np.round(a * sizes), 1, sizes).astype(int)
    return [s >= np.sort(s)[len(s) - n] for s, n in zip(scores, counts, strict=True)]


def _one_score(b: Any, at: Any, steepness: Any, masks: Any, losses: Any, floor: Any) -> Any:
    p = channel_pruning.keep_probabilities(b, at, steepness, floor)
    score = np.where(masks[0] == 1, 1 / p, -1 / (1 - p))
    total = channel_pruning.keep_ratio_gradient(b, at, steepness, score)
    return (losses[0] - losses[1]) * total / 2


MUTANTS = [
    Mutant("the floor is added", channel_pruning.keep_probabilities, _floor_added,
           "keep_probabilities"),
    Mutant("beta1 in place of its logarithm", channel_pruning.solve_log_threshold,
           lambda right: lambda *given: np.exp(right(*given)), "solve_log_threshold"),
    Mutant("the published tolerance of the root", channel_pruning.solve_log_threshold,
           lambda right: lambda *given: round(right(*given) / 0.02) * 0.02,
           "solve_log_threshold"),
    Mutant("without the factor C", channel_pruning.keep_ratio_gradient,
           lambda right: lambda b, t, s, dm: right(b, t, s, dm) / len(b), "keep_ratio_gradient"),
    Mutant("the mean of the gradients of masks", channel_pruning.keep_ratio_gradient,
           lambda right: lambda b, t, s, dm: float(dm.sum()), "keep_ratio_gradient"),
    Mutant("steepness forgotten in the gradient", channel_pruning.keep_ratio_gradient,
           lambda right: lambda b, t, s, dm: right(b, t, 1.0, dm), "keep_ratio_gradient"),
    Mutant("without the half", channel_pruning.score_gradient,
           lambda right: lambda *given: 2 * right(*given), "score_gradient"),
    Mutant("without the score of the other draw", channel_pruning.score_gradient,
           lambda right: _one_score, "score_gradient"),
    Mutant("the floor forgotten", channel_pruning.score_gradient,
           lambda right: lambda *given: right(*given[:5], 0.0), "score_gradient"),
    Mutant("equality keeps", channel_pruning.draw_mask,
           lambda right: lambda p, u: u <= p, "draw_mask"),
    Mutant("A taken as symmetric", channel_budget.channel_cost_gradient,
           lambda right: lambda a, costs: 2 * costs.pairs @ a + costs.single, "channel_cost"),
    Mutant("the fixed cost forgotten", channel_budget.channel_cost,
           lambda right: lambda a, costs: right(a, costs) - costs.fixed, "channel_cost"),
    Mutant("shrinkage without its limit", channel_regularisers.group_shrinkage,
           lambda right: lambda n, amount: 1 - amount / np.maximum(n, 1e-9), "group_shrinkage"),
    Mutant("a group may lose all its units", channel_regularisers.expand_ratios,
           lambda right: lambda alive, costs, most, units: right(alive, costs, most, 1e9 * units),
           "expand_ratios"),
    Mutant("ratios are not capped at 1", channel_regularisers.expand_ratios, _uncapped,
           "expand_ratios"),
    Mutant("the factor is that of uniform ratios", channel_regularisers.expand_ratios,
           lambda right: lambda alive, *rest: right(np.ones_like(alive), *rest), "expand_ratios"),
    Mutant("all ratios are scaled by one factor", channel_budget.project_keep_ratios,
           lambda right: _scaled, "project_keep_ratios"),
    Mutant("one step along the gradient at y", channel_budget.project_keep_ratios,
           lambda right: _one_step, "project_keep_ratios"),
    Mutant("the box is forgotten", channel_budget.project_keep_ratios,
           lambda right: lambda y, costs, budget, lowest: (
               right(y, costs, budget, lowest) if channel_cost(y, costs) > budget else y),
           "project_keep_ratios"),
    Mutant("what fits again does not return", channel_selection._filled,
           lambda right: lambda counts, *rest: counts, "select_by_scores"),
    Mutant("of equal scores the last stay", channel_selection._highest,
           lambda right: lambda score, count: right(score[::-1], count)[::-1], "select_by_scores"),
    Mutant("a group may lose its last unit", channel_selection.select_by_scores,
           lambda right: lambda scores, costs, budget, least=None: _without_last(
               right, scores, costs, budget), "select_by_scores"),
    Mutant("ratios are rounded to the nearest number", channel_selection.select_by_ratios,
           lambda right: _rounded, "select_by_ratios"),
    Mutant("the lowest scores stay", channel_selection.select_by_ratios,
           lambda right: lambda a, scores, *rest: right(a, [-s for s in scores], *rest),
           "select_by_ratios"),
    Mutant("groups gain nothing", channel_selection._filled,
           lambda right: lambda counts, *rest: counts, "select_by_ratios"),
    Mutant("no units are exchanged", channel_selection._close,
           lambda right: channel_selection._filled, "select_by_scores"),
    Mutant("groups gain no unit for which others lose some", channel_selection._close,
           lambda right: channel_selection._filled, "select_by_ratios"),
    Mutant("the penalty of the square", channel_regularisers.scale_penalty_gradient,
           lambda right: lambda g, weight: 2 * weight * g, "scale_penalty_gradient"),
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_check_catches_it(mutant: Mutant) -> None:
    with replaced(mutant.original, mutant.wrong(mutant.original)):
        report = check(REFERENCE, CASES, only=("channels",))
    assert not report.ok
    failed = {case.operation for case in CASES if case.group == "channels"} & {
        row.case.operation for row in report.results if row.status == "fail"
    }
    assert mutant.operation in failed, format_report(report)


def test_the_reference_passes() -> None:
    report = check(REFERENCE, CASES, only=("channels",))
    assert report.ok, format_report(report)
    assert report.counts["pass"] >= 28
