"""The equations of STR, LTP and ProbMask: values, gradients, projections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from fcpts_ref.errors import InputError
from fcpts_ref.spec.probabilistic_masks import (
    cubic_density,
    falling_temperature,
    project_scores,
    relaxed_mask,
    relaxed_mask_gradient,
)
from fcpts_ref.spec.soft_threshold import soft_threshold, soft_threshold_gradients
from fcpts_ref.spec.threshold_pruning import (
    soft_count,
    soft_mask,
    soft_mask_gradients,
    temperature,
)

SEEDS = st.integers(0, 2**32 - 1)
STEP = 1e-6


def slope(function, at):
    """The central difference of a function of an array, element by element."""
    result = np.empty_like(at)
    for i in np.ndindex(at.shape):
        ahead, behind = at.copy(), at.copy()
        ahead[i] += STEP
        behind[i] -= STEP
        result[i] = (function(ahead) - function(behind)) / (2 * STEP)
    return result


def draw(seed, size=7):
    generator = np.random.default_rng(seed)
    return generator.standard_normal(size), generator.standard_normal(size)


def test_soft_threshold():
    w = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    assert soft_threshold(w, 1.0).tolist() == [-1, 0, 0, 0, 0, 0, 1]
    assert soft_threshold(w, 0.0).tolist() == w.tolist()
    assert soft_threshold(w.astype(np.float32), 0.5).dtype == np.float32


@given(SEEDS, st.floats(0.1, 1.5))
def test_soft_threshold_gradients(seed, t):
    w, g = draw(seed)
    w = np.where(np.abs(np.abs(w) - t) < 1e-3, 2 * w + 0.01, w)  # away from the kink
    dw, dt = soft_threshold_gradients(w, t, g)
    np.testing.assert_allclose(dw, slope(lambda a: (soft_threshold(a, t) * g).sum(), w), atol=1e-7)
    want = slope(lambda a: (soft_threshold(w, a[0]) * g).sum(), np.array([t]))[0]
    assert dt == pytest.approx(want, abs=1e-7)


def test_at_the_kink_both_gradients_are_0():
    dw, dt = soft_threshold_gradients(np.array([1.0, -1.0]), 1.0, np.ones(2))
    assert (dw.tolist(), dt) == ([0, 0], 0)


@given(SEEDS, st.floats(0.0, 2.0), st.floats(0.05, 2.0), st.floats(0.0, 3.0))
def test_soft_mask_gradients(seed, tau, T, penalty):
    w, g = draw(seed)

    def loss(w, tau):
        a = soft_mask(w, tau, T)
        return (w * a * g).sum() + penalty * soft_count(a)

    dw, dtau = soft_mask_gradients(w, soft_mask(w, tau, T), T, g, penalty, exact=True)
    np.testing.assert_allclose(dw, slope(lambda a: loss(a, tau), w), atol=1e-5, rtol=1e-5)
    want = slope(lambda a: loss(w, a[0]), np.array([tau]))[0]
    assert dtau == pytest.approx(want, abs=1e-5, rel=1e-5)


def test_the_published_gradient_leaves_the_mask_constant():
    w, g = draw(0)
    a = soft_mask(w, 0.5, 0.1)
    dw, dtau = soft_mask_gradients(w, a, 0.1, g, 1.0)
    assert (dw == g * a).all()
    assert dtau == soft_mask_gradients(w, a, 0.1, g, 1.0, exact=True)[1]


def test_a_scaled_layer_has_the_same_soft_mask():
    w, _ = draw(1)
    one = soft_mask(w, 0.4, temperature(w, 0.2))
    np.testing.assert_allclose(soft_mask(5 * w, 25 * 0.4, temperature(5 * w, 0.2)), one, rtol=1e-12)


@given(SEEDS, st.floats(0.05, 1.0))
def test_relaxed_mask_gradient(seed, T):
    generator = np.random.default_rng(seed)
    s, noise, g = generator.uniform(0.05, 0.95, 6), *generator.standard_normal((2, 6))
    got = relaxed_mask_gradient(s, relaxed_mask(s, noise, T), T, g)
    want = slope(lambda a: (relaxed_mask(a, noise, T) * g).sum(), s)
    np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_scores_at_an_end_have_finite_masks_and_gradients(score):
    s, noise = np.full(3, score), np.array([-3.0, 0.0, 3.0])
    m = relaxed_mask(s, noise, 0.03)
    assert np.isfinite(relaxed_mask_gradient(s, m, 0.03, np.ones(3))).all()
    assert np.allclose(m, score)


def test_cold_masks_are_hard():
    m = relaxed_mask(np.full(4, 0.5), np.array([-2.0, -0.5, 0.5, 2.0]), 1e-3)
    assert m.tolist() == pytest.approx([0, 0, 1, 1])


@given(SEEDS, st.integers(1, 40), st.floats(0, 1.1))
def test_projection_meets_the_budget_and_is_idempotent(seed, size, share):
    s = np.random.default_rng(seed).normal(0.5, 1.0, size)
    count = share * size
    (p,) = project_scores([s], count)
    assert 0 <= p.min() <= p.max() <= 1
    assert p.sum() <= count + 1e-9
    if np.clip(s, 0, 1).sum() > count:
        assert p.sum() == pytest.approx(count, abs=1e-9)
    np.testing.assert_allclose(project_scores([p], count)[0], p, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_projection_is_the_nearest_point(seed):
    s, count = np.random.default_rng(seed).normal(0.5, 1.0, 6), 2.0
    (p,) = project_scores([s], count)
    found = minimize(
        lambda x: ((x - s) ** 2).sum(), np.full(6, 0.2), jac=lambda x: 2 * (x - s),
        bounds=[(0, 1)] * 6, method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
        constraints={"type": "ineq", "fun": lambda x: count - x.sum()},
    )  # fmt: skip
    np.testing.assert_allclose(p, found.x, atol=1e-5)


def test_projection_of_ties_and_of_several_layers():
    a, b = project_scores([np.ones((2, 2), np.float32), np.ones(4)], 2.0)
    assert a.dtype == np.float32
    assert a.tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert b.tolist() == [0.25] * 4
    assert project_scores([np.ones(3)], 0)[0].tolist() == [0, 0, 0]
    assert project_scores([np.zeros(0)], 0)[0].size == 0


@pytest.mark.parametrize(("scores", "count"), [([np.nan], 1), ([np.inf], 1), ([0.5], -1)])
def test_projection_refuses(scores, count):
    with pytest.raises(InputError, match="expected finite scores and a count"):
        project_scores([np.array(scores)], count)


def test_schedules():
    assert cubic_density(0.0, 0.1) == 1
    assert cubic_density(0.16, 0.1) == 1
    assert cubic_density(0.38, 0.1) == pytest.approx(0.1 + 0.9 / 8)
    assert cubic_density(0.6, 0.1) == cubic_density(1.0, 0.1) == 0.1
    assert falling_temperature(0) == 1
    assert falling_temperature(1) == pytest.approx(0.03)
