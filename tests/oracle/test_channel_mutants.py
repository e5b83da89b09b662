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
from fcpts_ref.spec import channel_budget, channel_pruning, channel_regularisers

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
    Mutant("equality keeps", channel_pruning.draw_mask,
           lambda right: lambda p, u: u <= p, "draw_mask"),
    Mutant("A taken as symmetric", channel_budget.channel_cost_gradient,
           lambda right: lambda a, costs: 2 * costs.pairs @ a + costs.single, "channel_cost"),
    Mutant("the fixed cost forgotten", channel_budget.channel_cost,
           lambda right: lambda a, costs: right(a, costs) - costs.fixed, "channel_cost"),
    Mutant("shrinkage without its limit", channel_regularisers.group_shrinkage,
           lambda right: lambda n, amount: 1 - amount / np.maximum(n, 1e-9), "group_shrinkage"),
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
