"""Max, average and global pooling."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match
from fcpts_ref.layers import (
    average_pool_backward,
    average_pool_forward,
    global_average_pool_backward,
    global_average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)

WALKS = [
    {"kernel": 2},
    {"kernel": (2, 3), "stride": (1, 2)},
    {"kernel": 3, "stride": 2, "padding": 1},
    {"kernel": 1},
]


def distinct(*shape):
    """No two pixels are closer than 0.1, so no small step changes their order."""
    order = np.random.default_rng(0).permutation(np.prod(shape))
    return 0.1 * order.reshape(shape) - 1


@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.integers(0, 99)
)
def test_windows_one_by_one(R, S, stride, padding, seed):
    padding = min(padding, R // 2, S // 2)
    x = np.random.default_rng(seed).standard_normal((2, 2, 5, 6))
    walk = {"kernel": (R, S), "stride": stride, "padding": padding}
    highest, _ = max_pool_forward(x, **walk)
    mean, _ = average_pool_forward(x, **walk)
    inside = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2), constant_values=np.nan)
    zeros = np.nan_to_num(inside)
    for p in range(highest.shape[2]):
        for q in range(highest.shape[3]):
            rows, columns = slice(p * stride, p * stride + R), slice(q * stride, q * stride + S)
            window = inside[:, :, rows, columns]
            np.testing.assert_array_equal(highest[:, :, p, q], np.nanmax(window, axis=(2, 3)))
            assert_close(mean[:, :, p, q], zeros[:, :, rows, columns].mean(axis=(2, 3)), 1e-14)
    assert highest.shape[2] == (5 + 2 * padding - R) // stride + 1
    assert highest.shape[3] == (6 + 2 * padding - S) // stride + 1


@pytest.mark.parametrize("walk", WALKS)
def test_gradients(walk):
    x = distinct(2, 2, 5, 6)
    for forward, backward, methods in (
        (max_pool_forward, max_pool_backward, ("adjoint", "jacobian")),
        (average_pool_forward, average_pool_backward, ("adjoint", "complex", "jacobian")),
    ):
        assert_gradients_match(forward, backward, {"x": x}, settings=walk, methods=methods)


def test_max_pool_by_complex_step_away_from_ties():
    assert_gradients_match(
        max_pool_forward,
        max_pool_backward,
        {"x": distinct(1, 2, 4, 4)},
        settings={"kernel": 3, "stride": 1, "padding": 1},
        methods=("complex",),
    )


def test_global_gradient():
    assert_gradients_match(
        global_average_pool_forward,
        global_average_pool_backward,
        {"x": distinct(2, 3, 2, 3)},
        methods=("adjoint", "complex", "jacobian"),
    )


def test_global_is_the_mean():
    x = distinct(2, 3, 4, 5)
    y, _ = global_average_pool_forward(x)
    assert_close(y, x.reshape(2, 3, 20).mean(axis=2), 1e-14)


def test_max_pool_ties_go_to_the_first_pixel():
    x = np.array([[[[1.0, 3.0], [3.0, 3.0]]]])
    y, cache = max_pool_forward(x, kernel=2)
    assert y.item() == 3
    dx = max_pool_backward(np.array([[[[7.0]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[0, 7], [0, 0]]]])


def test_max_pool_overlapping_windows_add_up():
    x = np.array([[[[0.0, 5.0, 1.0]]]])
    _, cache = max_pool_forward(x, kernel=(1, 2), stride=1)
    dx = max_pool_backward(np.array([[[[2.0, 3.0]]]]), cache)
    np.testing.assert_array_equal(dx, [[[[0, 5, 0]]]])


def test_max_pool_never_selects_the_padding():
    y, _ = max_pool_forward(np.full((1, 1, 2, 2), -1e30), kernel=2, stride=1, padding=1)
    assert (y == -1e30).all()


def test_max_pool_propagates_nan():
    x = np.zeros((1, 1, 2, 2))
    x[0, 0, 1, 0] = np.nan
    y, _ = max_pool_forward(x, kernel=2)
    assert np.isnan(y).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", [0, 1])
def test_keeps_the_dtype(dtype, images):
    x = np.ones((images, 2, 4, 4), dtype)
    for forward, backward, settings in (
        (max_pool_forward, max_pool_backward, {"kernel": 2}),
        (average_pool_forward, average_pool_backward, {"kernel": 3, "padding": 1}),
        (global_average_pool_forward, global_average_pool_backward, {}),
    ):
        y, cache = forward(x, **settings)
        dx = backward(np.ones_like(y), cache)
        assert y.dtype == dx.dtype == dtype
        assert dx.shape == x.shape


@pytest.mark.parametrize("forward", [max_pool_forward, average_pool_forward])
@pytest.mark.parametrize(
    ("x", "walk", "message"),
    [
        (np.ones((2, 4, 4)), {"kernel": 2}, "expected"),
        (np.ones((1, 1, 4, 4)), {"kernel": 0}, "kernel and stride >= 1"),
        (np.ones((1, 1, 4, 4)), {"kernel": 2, "stride": 0}, "kernel and stride >= 1"),
        (np.ones((1, 1, 4, 4)), {"kernel": 2, "padding": 2}, "every window to hold a pixel"),
        (np.ones((1, 1, 4, 4)), {"kernel": 5}, "use a larger image"),
    ],
)
def test_bad_input(forward, x, walk, message):
    with pytest.raises(InputError, match=message):
        forward(x, **walk)


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 0, 3)])
def test_global_bad_input(shape):
    with pytest.raises(InputError, match="with pixels"):
        global_average_pool_forward(np.ones(shape))
