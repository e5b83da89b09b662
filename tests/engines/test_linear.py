"""The linear kernels against the NumPy layer."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.layers import linear as reference

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from engines.twins import linear as fast


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(1, 12)),
    st.sampled_from((0.0, 0.5, 1.0)),
    st.sampled_from((np.float32, np.float64)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_kernels_equal_the_numpy_layer(sizes, sparsity, dtype, masked, seed):
    N, C, K = sizes
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(N, C)).astype(dtype), rng.normal(size=(K, C)).astype(dtype)
    bias, dy = rng.normal(size=K).astype(dtype), rng.normal(size=(N, K)).astype(dtype)
    weight[rng.random(weight.shape) < sparsity] = 0
    prefix = "masked_" if masked else ""
    y, cache = getattr(fast, prefix + "linear_forward")(x, weight, bias)
    gradients = getattr(fast, prefix + "linear_backward")(dy, cache)
    wide = [a.astype(np.float64) for a in (x, weight, bias, dy)]
    size = [np.abs(a) for a in wide]
    expected, wide_cache = reference.linear_forward(*wide[:3])
    magnitude, size_cache = reference.linear_forward(*size[:3])
    expected_gradients = reference.linear_backward(wide[3], wide_cache)
    magnitudes = reference.linear_backward(size[3], size_cache)
    if masked:
        expected_gradients[1][weight == 0] = 0
    terms = 2 * (max(N, C, K) + 3)  # of the longest sum; once for each of the two sums compared
    bound = 1e-12 if dtype == np.float64 else terms * np.finfo(dtype).eps / 2
    for actual, target, scale in zip(
        (y, *gradients), (expected, *expected_gradients), (magnitude, *magnitudes), strict=True
    ):
        assert actual.dtype == dtype
        assert np.all(np.abs(actual - target) <= bound * scale)


def test_no_bias():
    y, cache = fast.linear_forward(np.ones((2, 3)), np.ones((4, 3)))
    np.testing.assert_array_equal(y, np.full((2, 4), 3.0))
    assert fast.linear_backward(y, cache)[2] is None


def test_bad_input():
    with pytest.raises(InputError, match=r"expected \(N, C\)"):
        fast.linear_forward(np.ones((2, 3)), np.ones((4, 2)))
    with pytest.raises(InputError, match="float32 or float64"):
        fast.linear_forward(np.ones((2, 3), np.int64), np.ones((4, 3)))
