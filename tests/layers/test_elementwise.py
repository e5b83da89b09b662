"""ReLU, ReLU6, addition, flatten, subsample, zero-pad, input normalisation, linear."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits

from fcpts_ref import layers
from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match

ALL = ("adjoint", "complex", "jacobian")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_relu_and_its_kink():
    x = np.array([-2.0, -0.0, 0.0, 1e-300, 3.0, np.nan, np.inf, -np.inf])
    y, cache = layers.relu_forward(x)
    np.testing.assert_array_equal(y, [0, 0, 0, 1e-300, 3, np.nan, np.inf, 0])
    assert not np.signbit(y[:3]).any()
    dx = layers.relu_backward(np.full(8, 7.0), cache)
    np.testing.assert_array_equal(dx, [0, 0, 0, 7, 7, 0, 7, 0])


def test_relu6_and_its_kinks():
    x = np.array([-1.0, 0.0, 0.5, 6.0, np.nextafter(6, 0), 7.0, np.nan])
    y, cache = layers.relu6_forward(x)
    np.testing.assert_array_equal(y, [0, 0, 0.5, 6, np.nextafter(6, 0), 6, np.nan])
    dx = layers.relu6_backward(np.full(7, 2.0), cache)
    np.testing.assert_array_equal(dx, [0, 0, 2, 0, 2, 0, 0])


@pytest.mark.parametrize(
    ("name", "kinks", "scale"), [("relu", (0.0,), 1), ("relu6", (0.0, 6.0), 5)]
)
def test_relu_gradients(name, kinks, scale):
    assert_gradients_match(
        getattr(layers, f"{name}_forward"),
        getattr(layers, f"{name}_backward"),
        {"x": scale * draw(2, 3, 3, 2)},
        kinks={"x": kinks},
        methods=ALL,
    )


@pytest.mark.parametrize(
    ("name", "inputs", "settings"),
    [
        ("add", {"a": draw(2, 2, 2, 2), "b": draw(2, 2, 2, 2, seed=1)}, {}),
        ("flatten", {"x": draw(2, 3, 2, 2)}, {}),
        ("subsample", {"x": draw(2, 2, 5, 4)}, {"stride": 2}),
        ("subsample", {"x": draw(1, 2, 3, 3)}, {"stride": 1}),
        ("subsample", {"x": draw(1, 1, 3, 3)}, {"stride": 4}),
        ("zero_pad", {"x": draw(2, 2, 2, 2)}, {"before": 1, "after": 2}),
        ("zero_pad", {"x": draw(2, 2, 2, 2)}, {"before": 0, "after": 0}),
        ("linear", {"x": draw(3, 4), "weight": draw(2, 4, seed=1), "bias": draw(2, seed=2)}, {}),
        ("linear", {"x": draw(3, 4), "weight": draw(2, 4, seed=1), "bias": None}, {}),
        ("linear", {"x": draw(1, 1), "weight": draw(1, 1, seed=1), "bias": None}, {}),
    ],
)
def test_gradients(name, inputs, settings):
    assert_gradients_match(
        getattr(layers, f"{name}_forward"),
        getattr(layers, f"{name}_backward"),
        inputs,
        settings=settings,
        methods=ALL,
    )


def test_normalise_gradient():
    """Only x has a gradient: mean and std are constants of the network."""
    assert_gradients_match(
        layers.normalise_forward,
        layers.normalise_backward,
        {"x": draw(2, 3, 2, 2), "mean": draw(3, seed=1), "std": np.array([0.5, 2.0, 3.0])},
        constant=("mean", "std"),
        methods=ALL,
    )


def test_normalise():
    x = draw(2, 3, 2, 2)
    mean, std = draw(3, seed=1), np.array([0.5, 2.0, 3.0])
    y, _ = layers.normalise_forward(x, mean, std)
    for c in range(3):
        assert_close(y[:, c], (x[:, c] - mean[c]) / std[c], 1e-15)


def test_linear():
    x, weight, bias = draw(3, 4), draw(2, 4, seed=1), draw(2, seed=2)
    y, _ = layers.linear_forward(x, weight, bias)
    want = [[sum(x[n] * weight[k]) + bias[k] for k in range(2)] for n in range(3)]
    assert_close(y, want, 1e-15)


def test_subsample_and_zero_pad():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    y, _ = layers.subsample_forward(x, stride=3)
    np.testing.assert_array_equal(y, [[[[0, 3], [12, 15]]]])
    z, _ = layers.zero_pad_forward(y, before=1, after=2)
    assert z.shape == (1, 4, 2, 2)
    assert_same_bits(z[:, 1:2], y)
    assert not z[:, [0, 2, 3]].any()


def test_flatten_is_row_major():
    y, _ = layers.flatten_forward(np.arange(24).reshape(2, 3, 2, 2))
    np.testing.assert_array_equal(y, np.arange(24).reshape(2, 12))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize(
    ("name", "shapes", "settings"),
    [
        ("relu", [(2, 3)], {}),
        ("relu6", [(2, 3)], {}),
        ("add", [(2, 3), (2, 3)], {}),
        ("flatten", [(2, 3, 1, 1)], {}),
        ("subsample", [(1, 2, 3, 3)], {"stride": 2}),
        ("zero_pad", [(1, 2, 3, 3)], {"before": 1, "after": 1}),
        ("normalise", [(1, 2, 3, 3), (2,), (2,)], {}),
        ("linear", [(2, 3), (4, 3), (4,)], {}),
    ],
)
@pytest.mark.parametrize("images", [0, 1, 2])
def test_keeps_the_dtype_of_any_number_of_images(name, shapes, settings, dtype, images):
    inputs = [np.ones(shape, dtype) for shape in shapes]
    inputs[0] = np.ones((images, *shapes[0][1:]), dtype)
    if name == "add":
        inputs[1] = inputs[0]
    y, cache = getattr(layers, f"{name}_forward")(*inputs, **settings)
    gradients = getattr(layers, f"{name}_backward")(np.ones_like(y), cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert {y.dtype, *(g.dtype for g in gradients)} == {np.dtype(dtype)}
    assert y.shape[0] == images
    for given, gradient in zip(inputs, gradients, strict=False):
        assert gradient.shape == given.shape


@pytest.mark.parametrize(
    ("name", "inputs", "settings", "message"),
    [
        ("add", [np.ones((2, 3)), np.ones((1, 3))], {}, "expected the same"),
        ("linear", [np.ones((2, 3)), np.ones((3, 4))], {}, r"expected \(N, ..., C\) and \(K, C\)"),
        ("linear", [np.ones(3), np.ones((4, 3))], {}, r"expected \(N, ..., C\) and \(K, C\)"),
        ("linear", [np.ones((2, 3)), np.ones((4, 3)), np.ones(1)], {}, r"expected \(4,\)"),
        ("normalise", [np.ones((1, 2, 3, 3)), np.ones(1), np.ones(1)], {}, r"and \(C,\)"),
        ("normalise", [np.ones((2, 3)), np.ones(3), np.ones(3)], {}, r"\(N, C, H, W\)"),
        ("subsample", [np.ones((1, 2, 3, 3))], {"stride": 0}, "at least 1"),
        ("subsample", [np.ones((2, 3))], {"stride": 1}, r"\(N, C, H, W\)"),
        ("zero_pad", [np.ones((1, 2, 3, 3))], {"before": -1, "after": 0}, "at least 0"),
        ("zero_pad", [np.ones((2, 3))], {"before": 1, "after": 0}, r"\(N, C, H, W\)"),
    ],
)
def test_bad_input(name, inputs, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        getattr(layers, f"{name}_forward")(*inputs, **settings)
    assert "\n" not in str(caught.value)
