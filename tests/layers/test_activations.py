"""Sigmoid, tanh, SiLU, GELU, and the activations in pieces: values, kinks, extremes, dtypes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from comparing import assert_close

from fcpts_ref import layers
from fcpts_ref.errors import InputError

SETTINGS = {
    "sigmoid": {},
    "tanh": {},
    "silu": {},
    "gelu": {"approximate": "none"},
    "gelu tanh": {"approximate": "tanh"},
    "hard_sigmoid": {"alpha": 0.25, "beta": 0.5},
    "hard_swish": {},
    "leaky_relu": {"slope": 0.1},
    "clip": {"low": -1.0, "high": 2.0},
    "dropout": {"rate": 0.5},
}


def run(name, x, dy=None):
    kind = name.split()[0]
    y, cache = getattr(layers, f"{kind}_forward")(x, **SETTINGS[name])
    return y if dy is None else getattr(layers, f"{kind}_backward")(dy, cache)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 3, 4), (0, 3), (5,)])
def test_shapes_and_dtypes(name, dtype, shape):
    x = np.linspace(-4, 4, math.prod(shape), dtype=dtype).reshape(shape)
    before = x.copy()
    y, dx = run(name, x), run(name, x, np.ones_like(x))
    assert y.shape == dx.shape == shape
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", SETTINGS)
def test_nan_stays_nan(name):
    assert np.isnan(run(name, np.array([np.nan]))).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_large_numbers_neither_overflow_nor_warn(name):
    x = np.array([-1e30, -1e4, -750.0, 750.0, 1e4, 1e30], dtype=np.float64)
    for dtype in (np.float64, np.float32):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            y = run(name, x.astype(dtype))
            dx = run(name, x.astype(dtype), np.ones(6, dtype))
        assert np.isfinite(y).all()
        assert np.isfinite(dx).all()


@pytest.mark.parametrize(
    ("name", "at", "value", "slope"),
    [
        ("sigmoid", [0, math.log(3)], [0.5, 0.75], [0.25, 0.1875]),
        ("tanh", [0, math.log(2)], [0, 0.6], [1, 0.64]),
        ("silu", [0, math.log(3)], [0, 0.75 * math.log(3)], None),
        ("gelu", [0, 1], [0, 0.8413447460685429], [0.5, 1.0833154705876864]),
        ("gelu tanh", [0, 1], [0, 0.8411919906082768], [0.5, 1.0829640838457826]),
        ("hard_sigmoid", [-3, -2, 0, 1, 2, 3], [0, 0, 0.5, 0.75, 1, 1], [0, 0, 0.25, 0.25, 0, 0]),
        ("hard_swish", [-4, -3, 0, 3, 4], [0, 0, 0, 3, 4], [0, 0, 0.5, 1, 1]),
        ("leaky_relu", [-2, -0.0, 0, 2], [-0.2, 0, 0, 2], [0.1, 0.1, 0.1, 1]),
        ("clip", [-2, -1, 0, 2, 3], [-1, -1, 0, 2, 2], [0, 0, 1, 0, 0]),
        ("dropout", [-2, 0, 3], [-2, 0, 3], [1, 1, 1]),
    ],
)
def test_values_and_kinks(name, at, value, slope):
    """Published or elementary values; at a kink the slope of the flat side."""
    x = np.array(at, dtype=np.float64)
    assert_close(run(name, x), np.array(value, dtype=np.float64), 1e-15)
    if slope is not None:
        assert_close(run(name, x, np.ones_like(x)), np.array(slope, dtype=np.float64), 1e-15)


def test_small_results_keep_their_digits():
    """Phi(-10) = 7.6e-24 would be 0 as (1 + erf) / 2; so would the sigmoid's tail."""
    x = np.array([-10.0])
    assert_close(run("gelu", x), [-10 * 7.619853024160526e-24], 1e-13)
    assert_close(run("sigmoid", np.array([-40.0])), [math.exp(-40)], 1e-13)


def test_hard_swish_is_the_product_with_hard_sigmoid():
    x = np.linspace(-5, 5, 101)
    h, _ = layers.hard_sigmoid_forward(x)
    assert_close(run("hard_swish", x), x * h, 1e-15)


def test_bad_settings():
    x = np.ones((1, 2))
    with pytest.raises(InputError, match="low 2 and high 1; expected low <= high"):
        layers.clip_forward(x, low=2, high=1)
    with pytest.raises(InputError, match="low nan"):
        layers.clip_forward(x, low=float("nan"), high=1)
    with pytest.raises(InputError, match="approximate is 'erf'; expected 'none' or 'tanh'"):
        layers.gelu_forward(x, approximate="erf")


def test_clip_to_one_number():
    y, cache = layers.clip_forward(np.array([0.0, 1.0, 2.0]), low=1, high=1)
    np.testing.assert_array_equal(y, [1, 1, 1])
    np.testing.assert_array_equal(layers.clip_backward(np.ones(3), cache), [0, 0, 0])
