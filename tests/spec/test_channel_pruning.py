"""DSA's pruning process: probabilities, the solve, and its gradient."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.spec.channel_pruning import (
    FLOOR,
    draw_mask,
    filter_importance,
    keep_probabilities,
    keep_ratio_gradient,
    scale_importance,
    score_gradient,
    solve_log_threshold,
)

RATIOS = st.floats(0.02, 0.999)
STEEPNESS = st.floats(0.5, 30)


def importances(seed: int, C: int = 16) -> Any:
    return np.abs(np.random.default_rng(seed).standard_normal(C)) + 1e-3


@given(st.integers(0, 2**32 - 1), RATIOS, STEEPNESS)
def test_the_expected_share_is_the_ratio(seed: int, ratio: float, steepness: float) -> None:
    b = importances(seed)
    p = keep_probabilities(b, solve_log_threshold(b, ratio, steepness), steepness)
    assert p.mean() == pytest.approx(ratio, abs=1e-10)
    assert np.all((p >= FLOOR) & (p <= 1))
    assert np.all(np.diff(p[np.argsort(b)]) >= 0)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.floats(0.5, 8))
def test_gradient_of_the_whole_solve(seed: int, ratio: float, steepness: float) -> None:
    """Central differences of L(p(alpha)) for a smooth L, beta1 solved again at each end."""
    b, weights = importances(seed), np.random.default_rng(seed + 1).standard_normal(16)

    def loss(alpha: float) -> float:
        p = keep_probabilities(b, solve_log_threshold(b, alpha, steepness), steepness)
        return float(np.sin(p * weights).sum())

    log_threshold = solve_log_threshold(b, ratio, steepness)
    p = keep_probabilities(b, log_threshold, steepness)
    dp = np.cos(p * weights) * weights
    h = 1e-4
    numeric = (
        8 * (loss(ratio + h) - loss(ratio - h)) - (loss(ratio + 2 * h) - loss(ratio - 2 * h))
    ) / (12 * h)
    got = keep_ratio_gradient(b, log_threshold, steepness, dp)
    assert got == pytest.approx(numeric, abs=1e-6 * max(1, abs(numeric)))


@given(st.integers(0, 2**32 - 1), RATIOS)
def test_all_derivatives_of_the_probabilities_sum_to_the_channels(seed: int, ratio: float) -> None:
    b = importances(seed)
    got = keep_ratio_gradient(b, solve_log_threshold(b, ratio, 4.0), 4.0, np.ones(16))
    assert got == pytest.approx(16, rel=1e-12)


def test_a_steep_process_keeps_the_most_important() -> None:
    b = np.arange(1.0, 9.0)
    p = keep_probabilities(b, solve_log_threshold(b, 0.5, 200.0), 200.0)
    assert np.array_equal(p > 0.5, b > 4.5)


def test_equal_and_zero_importances() -> None:
    for b in (np.ones(4), np.zeros(4)):
        p = keep_probabilities(b, solve_log_threshold(b, 0.3, 2.0), 2.0)
        assert np.allclose(p, 0.3, atol=1e-10)
    one = np.array([2.0])
    assert keep_probabilities(one, solve_log_threshold(one, 0.3, 2.0), 2.0)[0] == pytest.approx(0.3)


def test_gradients_survive_extreme_steepness() -> None:
    b = importances(0)
    got = keep_ratio_gradient(b, solve_log_threshold(b, 0.5, 1e4), 1e4, np.ones(16))
    assert got == pytest.approx(16)


def test_draws_have_their_probability() -> None:
    p = np.array([0.01, 0.5, 1.0])
    draws = draw_mask(np.tile(p, (20_000, 1)), np.random.default_rng(0).random((20_000, 3)))
    assert np.allclose(draws.mean(axis=0), p, atol=0.01)
    assert draws[:, 2].all()


def test_importances_of_layers() -> None:
    assert scale_importance(np.array([-2.0, 0.5])).tolist() == [2.0, 0.5]
    assert filter_importance(np.array([[[1.0, -3.0]], [[0.0, 2.0]]])).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("ratio", [0.0, FLOOR, 1.0, 1.5, np.nan])
def test_bad_ratios(ratio: float) -> None:
    with pytest.raises(InputError, match="expected a ratio between"):
        solve_log_threshold(np.ones(4), ratio, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_bad_importances(bad: float) -> None:
    with pytest.raises(InputError, match="expected finite numbers of at least 0"):
        solve_log_threshold(np.array([1.0, bad]), 0.5, 1.0)


@pytest.mark.parametrize("steepness", [0.0, -1.0, np.inf, np.nan])
def test_bad_steepness(steepness: float) -> None:
    with pytest.raises(InputError, match="finite steepness above 0"):
        solve_log_threshold(np.ones(4), 0.5, steepness)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.9), st.floats(0.5, 8))
def test_the_score_has_the_mean_of_the_exact_gradient(
    seed: int, ratio: float, steepness: float
) -> None:
    """Over all pairs of masks of four channels, for a loss that is any function of the mask."""
    b, masks = importances(seed, 4), [np.array(bits, float) for bits in product((0, 1), repeat=4)]
    losses = np.random.default_rng(seed + 1).standard_normal(len(masks))

    def shares(at: float) -> Any:
        p = keep_probabilities(b, solve_log_threshold(b, at, steepness), steepness)
        return np.array([np.where(mask == 1, p, 1 - p).prod() for mask in masks])

    h = 1e-5
    expected = losses @ (shares(ratio + h) - shares(ratio - h)) / (2 * h)
    threshold, share = solve_log_threshold(b, ratio, steepness), shares(ratio)
    got = sum(
        share[i] * share[j]
        * score_gradient(b, threshold, steepness, (masks[i], masks[j]), (losses[i], losses[j]))
        for i in range(len(masks)) for j in range(len(masks))
    )  # fmt: skip
    assert got == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_score_of_channels_that_are_always_kept_is_finite() -> None:
    b = np.array([1e6, 1e6, 1e-6, 1e-6])
    masks = (np.array([1.0, 1, 0, 0]), np.array([1.0, 1, 1, 0]))
    got = score_gradient(b, solve_log_threshold(b, 0.6, 40), 40, masks, (1.0, 2.0))
    assert np.isfinite(got)
    assert score_gradient(b, solve_log_threshold(b, 0.6, 40), 40, masks, (2.0, 2.0)) == 0
