"""Penalties of scales and filters, and MorphNet's expansion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from fcpts_ref.spec.channel_budget import ChannelCosts, channel_cost
from fcpts_ref.spec.channel_regularisers import (
    expand_ratios,
    group_shrinkage,
    scale_penalty_gradient,
)


def test_the_subgradient_of_scales() -> None:
    got = scale_penalty_gradient(np.array([-2.0, 0.0, 3.0], np.float32), 0.5)
    assert got.tolist() == [-0.5, 0.0, 0.5]
    assert got.dtype == np.float32


def test_shrinkage_is_the_proximal_step() -> None:
    """argmin over v of |v - w|^2 / 2 + amount |v|."""
    for norm, amount in ((2.0, 0.5), (0.3, 0.5)):
        w = norm * np.array([0.6, 0.8])

        def loss(v: np.ndarray, w: np.ndarray = w, amount: float = amount) -> float:
            return float(((v - w) ** 2).sum() / 2 + amount * np.linalg.norm(v))

        found = minimize(loss, w / 2, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14})
        assert np.allclose(group_shrinkage(np.array([norm]), amount)[0] * w, found.x, atol=1e-5)


def test_shrinkage_at_its_edges() -> None:
    assert group_shrinkage(np.array([0.0, 1.0, 0.5]), 0.5).tolist() == [0.0, 0.5, 0.0]
    assert group_shrinkage(np.array([0.0, 1.0]), 0.0).tolist() == [0.0, 1.0]


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 1.0))
def test_expansion_meets_the_budget_by_one_factor(seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    costs = ChannelCosts(generator.random((4, 4)), generator.random(4))
    alive, units = generator.uniform(0.1, 1, 4), np.full(4, 100.0)
    ratios = expand_ratios(alive, costs, share * costs.whole, units)
    cost = channel_cost(ratios, costs)
    assert cost <= share * costs.whole
    assert cost == pytest.approx(share * costs.whole, rel=1e-9)
    free = (ratios < 1) & (ratios > 0.01)
    assert not free.any() or np.ptp((ratios / alive)[free]) < 1e-9


def test_expansion_to_the_whole_network() -> None:
    costs = ChannelCosts(np.ones((2, 2)), np.ones(2))
    got = expand_ratios(np.array([0.1, 0.5]), costs, costs.whole, np.array([10.0, 10.0]))
    assert got.tolist() == [1.0, 1.0]
