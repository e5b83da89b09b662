"""The kernels of the equations, SGD and the projection against the specification."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.engines.numba.pruning import equations as fast
from fcpts_ref.engines.numba.pruning import optim as fast_optim
from fcpts_ref.engines.numba.pruning import projection
from fcpts_ref.errors import InputError
from fcpts_ref.pruning import arithmetic
from fcpts_ref.spec import budget, optim
from fcpts_ref.spec import equations as reference

DTYPES = st.sampled_from((np.float32, np.float64))
SHAPES = st.one_of(
    st.tuples(st.integers(1, 300)),
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
)
SEEDS = st.integers(0, 2**32 - 1)
THRESHOLDS = st.sampled_from((0.0, 0.25, 0.5, 1.25, 7.0))


def draw(shape, dtype, seed):
    """Multiples of 1/4, so that some weights are 0, at a threshold, or at the surrogate's edge."""
    return (np.random.default_rng(seed).integers(-10, 11, shape) / 4).astype(dtype)


def assert_equal(got, want):
    assert_same_bits(np.asarray(got), np.asarray(want))


def tolerance(dtype, terms):
    return 1e-12 if dtype == np.float64 else (terms + 8) * np.finfo(np.float32).eps


@given(SHAPES, DTYPES, SEEDS, THRESHOLDS, st.sampled_from(("pruned", "half")), st.booleans())
def test_masks_and_rates_are_the_same_to_the_bit(shape, dtype, seed, threshold, tie, strict):
    w = draw(shape, dtype, seed)
    M = reference.mask(w, threshold, tie=tie)
    sparse, same, same_rate = fast.masked_weight(w, threshold, tie=tie, strict=strict)
    assert_equal(same, M)
    assert_equal(sparse, reference.sparse_weight(w, M))
    assert same_rate == reference.sparsity_rate(w.astype(np.float64), threshold, strict=strict)


@given(SHAPES, DTYPES, SEEDS, THRESHOLDS)
def test_threshold_gradients(shape, dtype, seed, threshold):
    w = draw(shape, dtype, seed)
    dsparse = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    dM, dM_dt = dsparse * w, reference.mask_threshold_gradient(w, threshold)
    want = reference.reconstruction_threshold_gradient(
        dM.astype(np.float64), dM_dt.astype(np.float64)
    )
    scale = np.abs(dM * dM_dt).sum() or 1.0
    got = fast.threshold_gradient(w, threshold, dsparse)
    assert abs(got - want) <= tolerance(dtype, 4) * scale


@given(SHAPES, DTYPES, SEEDS, st.sampled_from((0.01, 0.3, 4.0)), st.integers(1, 6))
def test_densities_at_any_number_of_points_and_samples(shape, dtype, seed, bandwidth, count):
    w = draw(shape, dtype, seed)
    points = np.random.default_rng(seed).uniform(-3, 3, (2, count)).astype(dtype)
    got = fast.density(points, w, bandwidth)
    want = reference.density(points.astype(np.float64), w.astype(np.float64), bandwidth)
    assert got.dtype == dtype
    # exp(-z z / 2): an error of eps in z z is one of z z eps / 2 in the result
    worst = (5.5 / bandwidth) ** 2 if dtype == np.float32 else 0
    assert np.abs(got - want).max() <= tolerance(dtype, worst) * max(np.abs(want).max(), 1)


@given(SHAPES, DTYPES, SEEDS, st.sampled_from((0.0, 1e-3, 1.0, 1e18)), st.sampled_from((0.0, 5.0)))
def test_spreads(shape, dtype, seed, scale, centre):
    w = (centre + scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)
    want = arithmetic.spread(w.astype(np.float64))
    assert fast.spread(w) == pytest.approx(want, rel=1e-12, abs=1e-13)
    assert (fast.spread(w) == 0) == (want == 0)


def test_spreads_of_equal_weights_and_of_nan():
    assert fast.spread(np.full((64, 16, 3, 3), 0.1, np.float32)) == 0
    assert fast.spread(np.array([2.0])) == 0
    assert np.isnan(fast.spread(np.array([1.0, np.nan])))


@given(SHAPES, DTYPES, SEEDS, st.sampled_from((1, 4, 100)))
def test_histogram(shape, dtype, seed, bins):
    w = draw(shape, dtype, seed)
    points = np.append(draw((7,), dtype, seed + 1), [w.min(), w.max(), -9, 9]).astype(dtype)
    assert_equal(
        fast.histogram_density(points, w, bins), reference.histogram_density(points, w, bins)
    )


@given(SHAPES, DTYPES, SEEDS, st.booleans(), st.sampled_from((0.0, 0.9)))
def test_sgd(shape, dtype, seed, nesterov, momentum):
    w, dw, v = (draw(shape, dtype, seed + i) for i in range(3))
    settings = {"learning_rate": 0.1, "momentum": momentum, "weight_decay": 0.01}
    got = fast_optim.sgd_step(w, dw, v, nesterov=nesterov, **settings)
    wide = [a.astype(np.float64) for a in (w, dw, v)]
    want = optim.sgd_step(*wide, nesterov=nesterov, **settings)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == dtype
        assert_close(a, b, tolerance(dtype, 8))


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5), DTYPES, SEEDS, st.booleans(), st.data()
)
def test_projection(sizes, dtype, seed, ties, data):
    rng = np.random.default_rng(seed)
    weights = [
        draw((n,), dtype, seed + i) if ties else rng.standard_normal(n).astype(dtype)
        for i, n in enumerate(sizes)
    ]
    thresholds = rng.uniform(0.1, 2, len(sizes))
    if len(sizes) > 2:
        thresholds[1] = 0
    count = data.draw(st.integers(0, sum(sizes) - 1))
    try:
        want = budget.projection_factor(weights, thresholds, count)
    except InputError:
        with pytest.raises(InputError, match="expected at least"):
            projection.projection_factor(weights, thresholds, count)
        return
    assert projection.projection_factor(weights, thresholds, count) == want


@pytest.mark.parametrize("order", "<>")
def test_float32_of_either_byte_order_stays_float32(order):
    w = np.array([0.25, -1.5], np.dtype("f4").newbyteorder(order))
    assert fast.masked_weight(w, 0.5)[0].dtype == np.float32
    assert fast.density(w, w, 1.0).dtype == np.float32
    assert_equal(fast.histogram_density(w, w, 2), reference.histogram_density(w, w, 2))


@given(st.integers(1, 9), st.integers(0, 9), DTYPES, SEEDS)
def test_projection_of_many_zeros(zeros, others, dtype, seed):
    rng = np.random.default_rng(seed)
    weights = [np.append(np.zeros(zeros), rng.standard_normal(others)).astype(dtype), ONE]
    for count in range(zeros + others + 1):
        for thresholds in (np.array([0.5, 1.0]), np.array([0.5, 0.0])):
            try:
                want = budget.projection_factor(weights, thresholds, count)
            except InputError:
                continue
            assert want > 0
            assert projection.projection_factor(weights, thresholds, count) == want


NAN, ONE = np.array([1.0, np.nan]), np.ones(1)
SINGLE, FAR = np.ones(1, np.float32), np.array([[1e308, -1e308]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fast.masked_weight(NAN, 0.5), "NaN or infinity"),
        (lambda: fast.masked_weight(ONE, -1.0), ">= 0"),
        (lambda: fast.masked_weight(ONE, 0.5, tie="both"), "'pruned' or 'half'"),
        (lambda: fast.threshold_gradient(ONE, 0.5, np.ones(2)), "expected the same"),
        (lambda: fast.density(0.0, ONE, 0.0), "bandwidth"),
        (lambda: fast.density(0.0, np.ones(0), 1.0), "empty"),
        (lambda: fast.density(NAN, ONE, 1.0), "NaN or infinity"),
        (lambda: fast.histogram_density(NAN, ONE), "NaN or infinity"),
        (lambda: fast.histogram_density(0.5, NAN), "NaN or infinity"),
        (lambda: fast.histogram_density(0.5, ONE, 0), "bins"),
        (lambda: fast.histogram_density(0.5, [1.0, np.nextafter(1, 2)]), "use fewer bins"),
        (lambda: fast.histogram_density(0.5, [-1.7e308, 1.7e308]), "use fewer bins"),
        (lambda: fast.histogram_density(0.5, ONE, "3"), "whole number"),
        (lambda: fast.masked_weight(1j * ONE, 0.5), "real numbers"),
        (lambda: fast.masked_weight(["1"], 0.5), "real numbers"),
        (lambda: fast.masked_weight(np.ma.masked_equal(ONE, 1), 0.5), "masked"),
        (lambda: fast.masked_weight(ONE, None), "magnitude"),
        (lambda: fast.threshold_gradient(ONE, 0.5, 1j * ONE), "real numbers"),
        (lambda: fast.density(0.0, ONE, None), "bandwidth"),
        (lambda: fast.density(0.0, SINGLE, 1e-50), "outside the range of float32"),
        (lambda: fast.density(1.0, ONE, 5e-324), "use a larger one"),
        (lambda: fast_optim.sgd_step(ONE, ONE, np.ones(2), learning_rate=1.0), "shapes differ"),
        (lambda: projection.projection_factor([ONE], np.ones(1), 1), "less than all"),
        (lambda: projection.projection_factor([ONE], np.ones(2), 0), "one a layer"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_without_the_compiler():
    """These kernels use no vectors: they run as plain Python too, and say the same.

    So does the loop that threads share.
    """
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("this is the run without the compiler")
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    files = [
        os.path.join(here, "engines", f"test_{n}.py") for n in ("equation_kernels", "for_each")
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "FCPTS_REF_TEST_EXAMPLES": "3"},
        cwd=os.path.dirname(here),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "..." in run.stdout  # some ran
