"""The steps of the other layers against the NumPy layers."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from commands import passes_with_two_threads
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref import layers as reference
from fcpts_ref.errors import InputError

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from engines.twins import layers as fast
from fcpts_ref.engines.numba.jit.threads import available_threads, using_threads

DTYPES = st.sampled_from((np.float32, np.float64))
SIDES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 19), st.integers(1, 35))
SEEDS = st.integers(0, 2**32 - 1)


def bound(dtype, terms):
    """Relative to the largest result: each sum of so many terms may round at every addition."""
    return 1e-12 if dtype == np.float64 else (terms + 8) * np.finfo(np.float32).eps


def draw(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check_pair(name, inputs, dtype, terms, seed, **settings):
    """Forward and backward of one layer; the reference computes in float64 from the same input.

    Errors are relative to the largest result.
    """
    y, cache = getattr(fast, f"{name}_forward")(*inputs, **settings)
    wide = [a.astype(np.float64) for a in inputs]
    want, wide_cache = getattr(reference, f"{name}_forward")(*wide, **settings)
    assert y.dtype == dtype
    assert_near(y, want, bound(dtype, terms))
    dy = draw(want.shape, dtype, seed + 1)
    got = getattr(fast, f"{name}_backward")(dy, cache)
    expected = getattr(reference, f"{name}_backward")(dy.astype(np.float64), wide_cache)
    got, expected = (g if isinstance(g, tuple) else (g,) for g in (got, expected))
    for dx, dx_wanted in zip(got, expected, strict=True):
        assert dx.dtype == dtype
        assert_near(dx, dx_wanted, bound(dtype, terms))


def assert_near(got, want, tolerance):
    assert got.shape == want.shape
    if got.size:
        assert np.abs(got - want).max() <= tolerance * np.abs(want).max()


@given(SIDES, DTYPES, SEEDS, st.booleans())
def test_batch_norm(shape, dtype, seed, training):
    N, C, H, W = shape
    if training and N * H * W < 2:
        return
    rng = np.random.default_rng(seed)
    x = (2 * rng.standard_normal(shape) + 3).astype(dtype)
    vectors = [rng.standard_normal(C), rng.standard_normal(C), rng.standard_normal(C)]
    vectors.append(rng.uniform(0.5, 2, C))
    small = [v.astype(dtype) for v in vectors]
    settings = {"training": training, "momentum": 0.3, "epsilon": 1e-2}
    values, cache = fast.batch_norm_forward(x, *small, **settings)
    wide = [a.astype(np.float64) for a in (x, *small)]
    wanted, wide_cache = reference.batch_norm_forward(*wide, **settings)
    dy = draw(shape, dtype, seed + 1)
    gradients = fast.batch_norm_backward(dy, cache)
    wanted += reference.batch_norm_backward(dy.astype(np.float64), wide_cache)
    # Deviations from the mean cancel: errors are relative to x / sqrt(epsilon) at worst, 10 x.
    tolerance = 1e-11 if dtype == np.float64 else 100 * bound(dtype, 32)
    names = ("y", "mean", "var", "dx", "dgamma", "dbeta")
    for name, got, want in zip(names, (*values, *gradients), wanted, strict=True):
        assert got.dtype == dtype
        scale = max(np.abs(want).max(), 1.0)
        assert np.abs(got - want).max() <= tolerance * scale, name


def test_batch_norm_keeps_its_precision_far_from_zero():
    """Mean 1000, deviation 1, in float32: a sum of squares would keep no digit of the variance."""
    x = (1000 + np.random.default_rng(0).standard_normal((8, 2, 32, 32))).astype(np.float32)
    zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
    (_, mean, var), _ = fast.batch_norm_forward(
        x, ones, zeros, zeros, ones, training=True, momentum=1.0
    )
    wide = x.astype(np.float64)
    assert_close(mean, wide.mean(axis=(0, 2, 3)), 1e-7)
    assert_close(var, wide.var(axis=(0, 2, 3), ddof=1), 1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_passes_on_what_is_not_finite(value, training):
    x = draw((2, 3, 4, 5), np.float64, 0)
    x[1, 1, 2, 3] = value
    stored = np.ones(3), np.zeros(3), np.zeros(3), np.ones(3)
    got, cache = fast.batch_norm_forward(x, *stored, training=training)
    with np.errstate(invalid="ignore"):
        want, wide_cache = reference.batch_norm_forward(x, *stored, training=training)
        want += reference.batch_norm_backward(np.ones_like(x), wide_cache)
    got += fast.batch_norm_backward(np.ones_like(x), cache)
    for name, a, b in zip(("y", "mean", "var", "dx", "dgamma", "dbeta"), got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=name)


@given(SIDES, DTYPES, SEEDS, st.sampled_from(("relu", "relu6")))
def test_activations(shape, dtype, seed, name):
    x = 4 * draw(shape, dtype, seed)
    x.flat[::7] = 0
    x.flat[3::7] = 6
    check_pair(name, (x,), dtype, 0, seed)


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_activations_keep_nan(name):
    x = np.array([np.nan, -np.inf, np.inf, -0.0, 6.0])
    y, cache = getattr(fast, f"{name}_forward")(x)
    want, wide_cache = getattr(reference, f"{name}_forward")(x)
    np.testing.assert_array_equal(y, want)
    dy = np.arange(1.0, 6)
    got = getattr(fast, f"{name}_backward")(dy, cache)
    np.testing.assert_array_equal(got, getattr(reference, f"{name}_backward")(dy, wide_cache))


@given(
    st.sampled_from(("max_pool", "average_pool")),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(4, 13), st.integers(4, 19)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.data(),
    DTYPES,
    SEEDS,
)
def test_pooling(name, shape, kernel, stride, data, dtype, seed):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in (*kernel, *kernel))
    x = np.round(2 * draw(shape, dtype, seed)) if name == "max_pool" else draw(shape, dtype, seed)
    settings = {"kernel": kernel, "stride": stride, "padding": padding}
    check_pair(name, (x,), dtype, 16, seed, **settings)


def test_max_pool_ties_go_to_the_first_and_nan_wins():
    x = np.ones((1, 1, 2, 4))
    x[0, 0, 1, 2] = np.nan
    y, cache = fast.max_pool_forward(x, kernel=2)
    np.testing.assert_array_equal(y, [[[[1, np.nan]]]])
    dx = fast.max_pool_backward(np.array([[[[5.0, 7.0]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[5, 0, 0, 0], [0, 0, 7, 0]]]])


@given(SIDES, DTYPES, SEEDS)
def test_global_average_pool(shape, dtype, seed):
    check_pair("global_average_pool", (draw(shape, dtype, seed),), dtype, shape[2] * shape[3], seed)


@given(SIDES, DTYPES, SEEDS, st.integers(1, 4), st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_shortcut_halves_and_joints(shape, dtype, seed, stride, pads):
    x = draw(shape, dtype, seed)
    check_pair("subsample", (x,), dtype, 0, seed, stride=stride)
    check_pair("zero_pad", (x,), dtype, 0, seed, before=pads[0], after=pads[1])
    check_pair("add", (x, draw(shape, dtype, seed + 2)), dtype, 0, seed)
    check_pair("flatten", (x,), dtype, 0, seed)


@given(SIDES, DTYPES, SEEDS)
def test_normalise(shape, dtype, seed):
    C = shape[1]
    mean, std = draw(C, dtype, seed), 1 + np.abs(draw(C, dtype, seed + 1))
    x = draw(shape, dtype, seed)
    y, cache = fast.normalise_forward(x, mean, std)
    want, _ = reference.normalise_forward(*(a.astype(np.float64) for a in (x, mean, std)))
    assert y.dtype == dtype
    assert_close(y, want, bound(dtype, 4))
    assert_close(fast.normalise_backward(x, cache), x / std[:, None, None], bound(dtype, 4))


def test_threads_do_not_change_a_bit(request):
    if available_threads() < 2:
        assert passes_with_two_threads(request.node.nodeid)
        return
    x, dy = draw((7, 3, 9, 11), np.float32, 0), draw((7, 3, 9, 11), np.float32, 1)
    stored = [np.full(3, v, np.float32) for v in (1.5, 0.5, 0.0, 1.0)]
    results = []
    for threads in (1, 2, 2):
        with using_threads(threads):
            values, cache = fast.batch_norm_forward(x, *stored, training=True)
            results.append((*values, *fast.batch_norm_backward(dy, cache)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize(
    ("name", "inputs", "settings", "message"),
    [
        ("subsample", (np.ones((1, 1, 2, 2)),), {"stride": 0}, "at least 1"),
        ("zero_pad", (np.ones((1, 1, 2, 2)),), {"before": -1, "after": 0}, "at least 0"),
        ("add", (np.ones((1, 2)), np.ones((2, 1))), {}, "expected the same"),
        ("max_pool", (np.ones((1, 1, 4, 4)),), {"kernel": 2, "padding": 2}, "hold a pixel"),
        ("max_pool", (np.ones((1, 1, 2, 2)),), {"kernel": 3}, "shorter than a kernel"),
        ("normalise", (np.ones((1, 2, 2, 2)), np.ones(3), np.ones(3)), {}, r"\(C,\)"),
        ("relu", (np.ones((1, 2), np.float16),), {}, "float32 or float64"),
    ],
)
def test_bad_input(name, inputs, settings, message):
    with pytest.raises(InputError, match=message):
        getattr(fast, f"{name}_forward")(*inputs, **settings)


def test_training_needs_two_values():
    one = np.ones(1)
    with pytest.raises(InputError, match="at least 2 values per channel"):
        fast.batch_norm_forward(np.ones((1, 1, 1, 1)), one, one, one, one, training=True)
