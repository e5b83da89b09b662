"""Max, average and global pooling."""

from __future__ import annotations

import math

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
    {"kernel": (2, 3), "stride": 2, "padding": (1, 0, 0, 2), "ceil_mode": True},
    {"kernel": 2, "dilation": (2, 3), "padding": (0, 1, 1, 0), "stride": 1},
]


def distinct(*shape):
    """No two pixels are closer than 0.1, so no small step changes their order."""
    order = np.random.default_rng(0).permutation(np.prod(shape))
    return 0.1 * order.reshape(shape) - 1


@st.composite
def walks(draw):
    """Settings of pooling of 5 x 6 pixels whose every window holds a pixel, or not."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    return {
        "kernel": draw(pair),
        "stride": draw(pair),
        "padding": draw(st.tuples(*[st.integers(0, 2)] * 4)),
        "dilation": draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        "ceil_mode": draw(st.booleans()),
    }


def starts_of(size, kernel, stride, before, after, dilation, ceil_mode):
    """Where windows start along one side, counted from the padding's first pixel."""
    reach, padded = dilation * (kernel - 1) + 1, before + size + after
    count = (padded - reach) / stride + 1
    count = math.ceil(count) if ceil_mode else math.floor(count)
    if ceil_mode and (count - 1) * stride >= size + before:
        count -= 1
    return [i * stride for i in range(count)]


@given(walks(), st.booleans(), st.integers(0, 99))
def test_windows_one_by_one(walk, count_include_pad, seed):
    x = np.random.default_rng(seed).standard_normal((2, 2, 5, 6))
    top, left, bottom, right = walk["padding"]
    inside = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=np.nan)
    (R, S), (d, e), (down, across) = walk["kernel"], walk["dilation"], walk["stride"]
    rows = starts_of(5, R, down, top, bottom, d, walk["ceil_mode"])
    columns = starts_of(6, S, across, left, right, e, walk["ceil_mode"])
    windows = {
        (p, q): inside[:, :, y : y + d * R : d, x0 : x0 + e * S : e]
        for p, y in enumerate(rows)
        for q, x0 in enumerate(columns)
    }
    if not rows or not columns:
        with pytest.raises(InputError, match="use a larger image"):
            max_pool_forward(x, **walk)
        return
    if any(np.isnan(window).all() for window in windows.values()):
        for forward in (max_pool_forward, average_pool_forward):
            with pytest.raises(InputError, match="expected every window to hold a pixel"):
                forward(x, **walk)
        return
    highest, _ = max_pool_forward(x, **walk)
    mean, _ = average_pool_forward(x, **walk, count_include_pad=count_include_pad)
    assert highest.shape == mean.shape == (2, 2, len(rows), len(columns))
    for (p, q), window in windows.items():
        np.testing.assert_array_equal(highest[:, :, p, q], np.nanmax(window, axis=(2, 3)))
        counted = np.nan_to_num(window) if count_include_pad else window
        assert_close(mean[:, :, p, q], np.nanmean(counted, axis=(2, 3)), 1e-14)


@pytest.mark.parametrize("walk", WALKS)
def test_gradients(walk):
    x = distinct(2, 2, 5, 6)
    for forward, backward, methods in (
        (max_pool_forward, max_pool_backward, ("adjoint", "jacobian")),
        (average_pool_forward, average_pool_backward, ("adjoint", "complex", "jacobian")),
    ):
        assert_gradients_match(forward, backward, {"x": x}, settings=walk, methods=methods)


@pytest.mark.parametrize("walk", WALKS)
def test_gradient_of_means_without_padding(walk):
    assert_gradients_match(
        average_pool_forward,
        average_pool_backward,
        {"x": distinct(2, 2, 5, 6)},
        settings=walk | {"count_include_pad": False},
        methods=("adjoint", "complex", "jacobian"),
    )


def test_a_window_beyond_the_padding_counts_what_is_there():
    """3 pixels by windows of 2 in steps of 2, rounded up: the last mean is of one pixel."""
    x = np.array([[[[2.0, 4.0, 6.0]]]])
    walk = {"kernel": (1, 2), "stride": (1, 2), "ceil_mode": True}
    assert average_pool_forward(x, **walk)[0].tolist() == [[[[3, 6]]]]
    assert max_pool_forward(x, **walk)[0].tolist() == [[[[4, 6]]]]
    padded = walk | {"padding": (0, 1, 0, 0)}  # 0 2 | 4 6: nothing is left over
    assert average_pool_forward(x, **padded)[0].tolist() == [[[[1, 5]]]]
    without = padded | {"count_include_pad": False}
    assert average_pool_forward(x, **without)[0].tolist() == [[[[2, 5]]]]


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
