"""The cost of keep ratios, its gradient, and budgets on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from fcpts_ref.errors import InputError
from fcpts_ref.spec.channel_budget import (
    ChannelCosts,
    channel_cost,
    channel_cost_gradient,
    project_keep_ratios,
    uniform_keep_ratio,
)


def random_costs(seed: int, G: int = 4, fixed: float = 0.5) -> ChannelCosts:
    generator = np.random.default_rng(seed)
    return ChannelCosts(generator.random((G, G)), generator.random(G), fixed)


@given(st.integers(0, 2**32 - 1))
def test_gradient(seed: int) -> None:
    costs, h = random_costs(seed), 1e-6
    alpha = np.random.default_rng(seed).random(4)
    for i, slope in enumerate(channel_cost_gradient(alpha, costs)):
        step = h * np.eye(4)[i]
        numeric = (channel_cost(alpha + step, costs) - channel_cost(alpha - step, costs)) / (2 * h)
        assert slope == pytest.approx(numeric, abs=1e-8)


def test_whole() -> None:
    costs = random_costs(0)
    assert costs.whole == pytest.approx(channel_cost(np.ones(4), costs), abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 1.2))
def test_uniform(seed: int, share: float) -> None:
    costs, lowest = random_costs(seed, fixed=0.0), np.full(4, 0.01)
    alpha = uniform_keep_ratio(costs, share * costs.whole, lowest)
    assert np.ptp(alpha) == 0
    assert channel_cost(alpha, costs) == pytest.approx(min(share, 1) * costs.whole, rel=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1.0))
def test_projection_meets_the_budget_and_is_idempotent(seed: int, share: float) -> None:
    costs, lowest = random_costs(seed, fixed=0.0), np.full(4, 0.05)
    y = np.random.default_rng(seed).uniform(-0.5, 1.5, 4)
    budget = share * costs.whole
    z = project_keep_ratios(y, costs, budget, lowest)
    assert np.all((lowest <= z) & (z <= 1))
    assert channel_cost(z, costs) <= budget
    assert np.allclose(project_keep_ratios(z, costs, budget, lowest), z, atol=1e-9)
    if channel_cost(np.clip(y, lowest, 1), costs) > budget:
        assert channel_cost(z, costs) == pytest.approx(budget, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_projection_is_the_nearest_point_for_a_convex_cost(seed: int) -> None:
    """A is made positive semidefinite, so that the nearest point is unique."""
    random = random_costs(seed)
    costs = ChannelCosts(random.pairs @ random.pairs.T, random.single, 0.0)
    lowest, y = np.full(4, 0.05), np.random.default_rng(seed).uniform(0.3, 1.3, 4)
    budget = 0.3 * costs.whole
    z = project_keep_ratios(y, costs, budget, lowest)
    found = minimize(
        lambda x: ((x - y) ** 2).sum(), np.full(4, 0.3), bounds=[(0.05, 1)] * 4, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda x: budget - channel_cost(x, costs)},
        options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert np.allclose(z, found.x, atol=1e-5)


def test_budgets_that_no_keep_ratio_reaches() -> None:
    costs, lowest = random_costs(0), np.full(4, 0.1)
    for call in (
        lambda: uniform_keep_ratio(costs, 0.1, lowest),
        lambda: project_keep_ratios(np.ones(4), costs, 0.1, lowest),
        lambda: project_keep_ratios(np.ones(4), costs, np.nan, lowest),
    ):
        with pytest.raises(InputError, match="the fewest channels of every group cost"):
            call()


def test_nan_keep_ratios() -> None:
    with pytest.raises(InputError, match="expected finite numbers"):
        project_keep_ratios(np.array([np.nan, 1, 1, 1]), random_costs(0), 3.0, np.full(4, 0.1))
