"""Convolution against SciPy, its adjoints against it, and its geometry."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match
from fcpts_ref.layers import (
    convolution_backward,
    convolution_forward,
    convolution_input_gradient,
    convolution_weight_gradient,
)

ALL = ("adjoint", "complex", "jacobian")


def naive(x, weight, bias, stride, padding, dilation, groups):
    """Convolution by SciPy: correlate with the dilated kernel, then take every stride-th output."""
    K, channels, R, S = weight.shape
    dilated = np.zeros((K, channels, dilation[0] * (R - 1) + 1, dilation[1] * (S - 1) + 1))
    dilated[:, :, :: dilation[0], :: dilation[1]] = weight
    top, left, bottom, right = padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    images = []
    for image in padded:
        planes = []
        for k in range(K):
            first = k // (K // groups) * channels
            group = image[first : first + channels]
            plane = correlate(group, dilated[k], mode="valid", method="direct")[0]
            planes.append(plane[:: stride[0], :: stride[1]] + bias[k])
        images.append(planes)
    return np.array(images)


@st.composite
def problems(draw):
    """x, weight, bias and the settings of a convolution whose kernel fits."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))  # top, left, bottom, right
    groups = draw(st.sampled_from((1, 2, 3)))
    C, K = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    H, W = (
        draw(st.integers(max(1, d * (k - 1) + 1 - sum(p)), 8))
        for k, p, d in zip(kernel, (padding[::2], padding[1::2]), dilation, strict=True)
    )
    generator = np.random.default_rng(draw(st.integers(0, 1000)))
    x = generator.standard_normal((draw(st.integers(1, 2)), C, H, W))
    weight = generator.standard_normal((K, C // groups, *kernel))
    bias = generator.standard_normal(K)
    return (
        x,
        weight,
        bias,
        {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
    )


@given(problems())
def test_equals_scipy(problem):
    x, weight, bias, settings = problem
    y, _ = convolution_forward(x, weight, bias, **settings)
    assert_close(y, naive(x, weight, bias, **settings), 1e-13)


@given(problems())
def test_both_backwards_are_adjoints(problem):
    """<dy, conv(x, w)> = <conv'x(dy), x> = <conv'w(dy), w>: convolution is linear in either."""
    x, weight, _, settings = problem
    y, cache = convolution_forward(x, weight, **settings)
    for seed in range(3):
        dy = np.random.default_rng(seed).standard_normal(y.shape)
        dx, dweight, dbias = convolution_backward(dy, cache)
        size = np.abs(dy * y).sum() + 1
        assert abs((dy * y).sum() - (dx * x).sum()) <= 1e-12 * size
        assert abs((dy * y).sum() - (dweight * weight).sum()) <= 1e-12 * size
        assert dbias is None
        assert_same_bits(convolution_input_gradient(dy, weight, x.shape, **settings), dx)
        assert_same_bits(convolution_weight_gradient(dy, x, weight.shape, **settings), dweight)


@pytest.mark.parametrize(
    ("x_shape", "weight_shape", "settings"),
    [
        ((2, 3, 5, 4), (4, 3, 3, 3), {"padding": 1}),
        ((1, 2, 6, 5), (3, 2, 2, 3), {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)}),
        ((2, 4, 4, 4), (6, 2, 3, 3), {"groups": 2, "padding": 1, "stride": 2}),
        ((1, 3, 4, 4), (3, 1, 3, 3), {"groups": 3}),
        ((2, 3, 3, 3), (2, 3, 1, 1), {}),
        ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ],
    ids=["same", "uneven", "groups", "depthwise", "pointwise", "single"],
)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "plain"])
def test_gradients(x_shape, weight_shape, settings, bias):
    generator = np.random.default_rng(5)
    inputs = {"x": generator.standard_normal(x_shape)}
    inputs["weight"] = generator.standard_normal(weight_shape)
    inputs["bias"] = generator.standard_normal(weight_shape[0]) if bias else None
    assert_gradients_match(
        convolution_forward, convolution_backward, inputs, settings=settings, methods=ALL
    )


@pytest.mark.parametrize(
    ("x_shape", "weight_shape"),
    [
        ((0, 2, 4, 4), (3, 2, 3, 3)),
        ((2, 0, 4, 4), (3, 0, 3, 3)),
        ((2, 2, 4, 4), (0, 2, 3, 3)),
    ],
    ids=["no images", "no channels", "no filters"],
)
def test_empty(x_shape, weight_shape):
    y, cache = convolution_forward(np.ones(x_shape), np.ones(weight_shape))
    assert y.shape == (x_shape[0], weight_shape[0], 2, 2)
    assert not y.any()
    dx, dweight, _ = convolution_backward(np.ones(y.shape), cache)
    assert dx.shape == x_shape
    assert dweight.shape == weight_shape
    assert not dx.any()
    assert not dweight.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_keeps_the_dtype(dtype):
    x, weight, bias = np.ones((1, 2, 3, 3), dtype), np.ones((2, 2, 3, 3), dtype), np.ones(2, dtype)
    y, cache = convolution_forward(x, weight, bias, padding=1)
    gradients = convolution_backward(np.ones_like(y), cache)
    assert {y.dtype, *(g.dtype for g in gradients)} == {np.dtype(dtype)}


def test_inputs_stay_as_they_are():
    x, weight = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    y, cache = convolution_forward(x, weight, padding=1)
    convolution_backward(np.ones_like(y), cache)
    assert (x == 1).all()
    assert (weight == 1).all()


def test_nan_spreads_to_the_outputs_that_read_it():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.nan
    y, _ = convolution_forward(x, np.ones((1, 1, 2, 2)))
    assert np.isnan(y[0, 0, 0, 0])
    assert np.isfinite(y).sum() == y.size - 1


def test_numpy_integers_are_whole_numbers():
    x, weight = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    y, _ = convolution_forward(x, weight, stride=np.int64(2))
    assert y.shape == (1, 1, 2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones((2, 4, 4))}, "expected \\(N, C, H, W\\)"),
        ({"weight": np.ones((2, 2, 3))}, "expected \\(N, C, H, W\\)"),
        ({"weight": np.ones((2, 3, 3, 3))}, "weight.shape\\[1\\] \\* groups == C"),
        ({"weight": np.ones((2, 2, 5, 1))}, "use a larger image"),
        ({"weight": np.ones((2, 2, 0, 1))}, "expected at least 1"),
        ({"bias": np.ones(1)}, "expected \\(2,\\)"),
        ({"bias": np.ones((2, 1))}, "expected \\(2,\\)"),
        ({"stride": 0}, "expected stride"),
        ({"dilation": 0}, "expected stride"),
        ({"padding": -1}, "expected one number >= 0"),
        ({"groups": 0}, "groups >= 1"),
        ({"groups": 2}, "groups == C"),
        ({"stride": 1.5}, "whole number"),
        ({"padding": (1, 1, 1)}, "pair"),
    ],
)
def test_bad_input(change, message):
    good = {"x": np.ones((1, 2, 4, 4)), "weight": np.ones((2, 2, 3, 3)), "bias": np.ones(2)}
    with pytest.raises(InputError, match=message) as caught:
        convolution_forward(**(good | change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1, 2, 1, 2), (1, 2, 3, 3), (1, 3, 2, 2), (2, 2, 2, 2)])
def test_backwards_refuse_a_gradient_of_another_shape(shape):
    x, weight = np.ones((1, 2, 4, 4)), np.ones((2, 2, 3, 3))
    with pytest.raises(InputError, match=r"expected the output's shape \(1, 2, 2, 2\)"):
        convolution_input_gradient(np.ones(shape), weight, x.shape)
    with pytest.raises(InputError, match=r"expected the output's shape \(1, 2, 2, 2\)"):
        convolution_weight_gradient(np.ones(shape), x, weight.shape)
