"""Digits that a plain difference would lose, against 50 digits."""

from __future__ import annotations

import numpy as np
import pytest

from fcpts_ref.pruning.arithmetic import arithmetic
from fcpts_ref.spec import equations
from fcpts_ref.spec.precise import exp_minus_1_minus_x

mpmath = pytest.importorskip("mpmath")
mp = mpmath.mp


def kl(dense, sparse, T):
    with mp.workdps(50):
        total = mp.mpf(0)
        for d, s in zip(dense, sparse, strict=True):
            a, b = ([mp.mpf(float(x)) / mp.mpf(float(T)) for x in row] for row in (d, s))
            la, lb = (mp.log(mp.fsum(map(mp.exp, row))) for row in (a, b))
            total += mp.fsum(
                mp.exp(x - la) * ((x - la) - (y - lb)) for x, y in zip(a, b, strict=True)
            )
        return float(mp.mpf(float(T)) ** 2 * total / len(dense))


@pytest.mark.parametrize("T", [1.0, 4.0, 1000.0])
@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-6, 1e-3, 0.1, 1.0, 30.0])
def test_the_divergence_of_near_logits_keeps_its_digits(distance, T):
    generator = np.random.default_rng(0)
    dense = generator.standard_normal((4, 10))
    sparse = dense + distance * generator.standard_normal((4, 10))
    loss = equations.reconstruction_loss(dense, sparse, temperature=T)
    assert loss == pytest.approx(kl(dense, sparse, T), rel=1e-11, abs=1e-300)
    assert loss >= 0


def test_the_divergence_in_float32_is_not_negative_and_keeps_its_digits():
    generator = np.random.default_rng(1)
    dense = generator.standard_normal((8, 10)).astype(np.float32)
    sparse = dense + np.float32(1e-3) * generator.standard_normal((8, 10)).astype(np.float32)
    loss = equations.reconstruction_loss(dense, sparse, temperature=1000.0)
    assert loss.dtype == np.float32
    assert loss == pytest.approx(kl(dense, sparse, 1000.0), rel=1e-6)


@pytest.mark.parametrize("t", [0.0, 5e-324, 1e-17, 1e-9, 1e-3, 0.3, 2.0, 40.0])
@pytest.mark.parametrize("w", [0.0, 0.1, -3.0, 8.0])
def test_the_rate_of_a_small_threshold_keeps_its_digits(w, t):
    with mp.workdps(400):
        h = mp.mpf(0.5) * mp.sqrt(2)
        a, b = (mp.mpf(t) - mp.mpf(w)) / h, (-mp.mpf(t) - mp.mpf(w)) / h
        want = float((mp.erf(a) - mp.erf(b)) / 2)
    got = equations.sparsity_rate_integral(t, [w], 0.5)
    assert got == pytest.approx(want, rel=1e-13, abs=1e-320)


def test_exp_minus_1_minus_x():
    for x in (0.0, 1e-200, 1e-8, -1e-8, 0.4999, 0.5, -0.5, 3.0, -30.0):
        with mp.workdps(60):
            want = float(mp.expm1(mp.mpf(x)) - mp.mpf(x))
        assert exp_minus_1_minus_x(np.array(x)) == pytest.approx(want, rel=4e-15, abs=0)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("w", "t", "inside"),
    [
        (1.0, 1e-17, True),
        (-1.0, 1e-17, True),
        (1.0, 0.0, False),
        (1e-17, 1.0, True),
        (0.0, 1.0, False),
        (2.5, 1.5, False),
        (np.nextafter(2.5, 0), 1.5, True),
        (1e17, 1e17, True),
        (2.0**53 + 2, 2.0**53, False),
    ],
)
def test_the_surrogate_is_decided_exactly(engine, w, t, inside):
    weight = np.array([w])
    assert equations.mask_threshold_gradient(weight, t)[0] == (-0.5 if inside else 0)
    gradient = arithmetic(engine).threshold_gradient(weight, t, np.array([1.0]))
    assert gradient == (-0.5 * w if inside else 0)


@pytest.mark.parametrize("at_target", ["negative", "zero"])
def test_equality_is_not_turned_by_rounding(at_target):
    """Uniform rates on the target: whatever the sizes, the choice of convention 12."""
    generator = np.random.default_rng(2)
    for _ in range(200):
        sizes = generator.integers(1, 10**6, generator.integers(1, 60))
        target = float(generator.choice([0.9, 0.7, 1 / 3, 0.95, 0.123]))
        found = equations.control_loss_gradient(
            np.full(len(sizes), target), sizes, target, at_target=at_target
        )
        share = sizes / sizes.sum()
        np.testing.assert_array_equal(found, 0 * share if at_target == "zero" else -share)
    one_more = np.array([0.5 + 1 / 10**9, 0.5])
    assert (equations.control_loss_gradient(one_more, [10**9, 10**9], 0.5) > 0).all()
