"""Nearest and bilinear resizing."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match
from fcpts_ref.layers import resize_backward, resize_forward
from fcpts_ref.layers.resize import COORDINATES, MODES, NEAREST


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("convention", COORDINATES)
@pytest.mark.parametrize("size", [(5, 3), (1, 1), (3, 8)])
def test_gradients(mode, convention, size):
    settings = {"size": size, "mode": mode, "coordinate_transformation_mode": convention}
    if convention == "tf_crop_and_resize":
        settings |= {"roi": (0.1, -0.2, 0.8, 0.7), "extrapolation_value": 2.0}
    assert_gradients_match(
        resize_forward,
        resize_backward,
        {"x": draw(1, 2, 3, 4)},
        settings=settings,
        methods=("adjoint", "complex", "jacobian"),
    )


@given(st.integers(1, 5), st.integers(1, 5), st.sampled_from(MODES), st.sampled_from(list(NEAREST)))
def test_the_same_size_changes_nothing(height, width, mode, nearest_mode):
    x = draw(1, 2, height, width)
    for convention in set(COORDINATES) - {"tf_half_pixel_for_nn", "pytorch_half_pixel"}:
        y, _ = resize_forward(
            x,
            size=(height, width),
            mode=mode,
            nearest_mode=nearest_mode,
            coordinate_transformation_mode=convention,
        )
        assert_close(y, x, 1e-14, convention)


def test_nearest_copies_pixels_even_infinite_ones():
    x = np.array([1.0, np.inf, -np.inf, np.nan]).reshape(1, 1, 2, 2)
    y, _ = resize_forward(x, size=(4, 4))
    assert_same_bits(y, x.repeat(2, axis=2).repeat(2, axis=3))


@pytest.mark.parametrize(
    ("nearest_mode", "want"),
    [
        ("round_prefer_floor", [0, 0, 1, 1, 2, 2]),  # of 0, .5, 1, 1.5, 2, 2.5
        ("round_prefer_ceil", [0, 1, 1, 2, 2, 2]),
        ("floor", [0, 0, 1, 1, 2, 2]),
        ("ceil", [0, 1, 1, 2, 2, 2]),
    ],
)
def test_ties(nearest_mode, want):
    x = np.arange(3.0).reshape(1, 1, 1, 3)
    settings = {"nearest_mode": nearest_mode, "coordinate_transformation_mode": "asymmetric"}
    y, _ = resize_forward(x, size=(1, 6), **settings)
    np.testing.assert_array_equal(y.ravel(), want)


def test_bilinear_of_a_slope():
    """Half-pixel: edges are repeated; corners: the ends stay."""
    x = np.array([0.0, 4.0]).reshape(1, 1, 1, 2)
    y, _ = resize_forward(x, size=(1, 4), mode="bilinear")
    np.testing.assert_array_equal(y.ravel(), [0, 1, 3, 4])
    corners = {"mode": "bilinear", "coordinate_transformation_mode": "align_corners"}
    y, _ = resize_forward(x, size=(1, 5), **corners)
    np.testing.assert_array_equal(y.ravel(), [0, 1, 2, 3, 4])


def test_given_factors_differ_from_the_sizes():
    """5 pixels by 0.5 are 2.5, rounded to 2: pixels are 2 apart, not 2.5."""
    x = np.arange(5.0).reshape(1, 1, 1, 5)
    plain = {"size": (1, 2), "mode": "bilinear", "coordinate_transformation_mode": "asymmetric"}
    np.testing.assert_array_equal(resize_forward(x, **plain)[0].ravel(), [0, 2.5])
    given_factors, _ = resize_forward(x, **plain, scales=(1.0, 0.5))
    np.testing.assert_array_equal(given_factors.ravel(), [0, 2])


def test_integer_coordinates_are_exact():
    """7 to 49: i / (49 / 7) would round some pixels down."""
    x = np.arange(7.0).reshape(1, 1, 1, 7)
    settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    for size in range(1, 200):
        y, _ = resize_forward(x, size=(1, size), **settings)
        np.testing.assert_array_equal(y.ravel(), [i * 7 // size for i in range(size)])


def test_a_region_outside_takes_the_extrapolation_value():
    settings = {
        "mode": "bilinear",
        "coordinate_transformation_mode": "tf_crop_and_resize",
        "roi": (0.0, -1.0, 1.0, 1.0),
        "extrapolation_value": 9.0,
    }
    y, cache = resize_forward(np.ones((1, 1, 2, 3)), size=(2, 3), **settings)
    np.testing.assert_array_equal(y[0, 0], [[9, 1, 1], [9, 1, 1]])
    assert resize_backward(np.ones_like(y), cache).sum() == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", [0, 2])
@pytest.mark.parametrize("mode", MODES)
def test_keeps_the_dtype(dtype, images, mode):
    y, cache = resize_forward(np.ones((images, 2, 3, 3), dtype), size=(5, 2), mode=mode)
    dx = resize_backward(y, cache)
    assert y.dtype == dx.dtype == dtype
    assert (y.shape, dx.shape) == ((images, 2, 5, 2), (images, 2, 3, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (0, 2)}, "two sizes >= 1"),
        ({"size": (2,)}, "two sizes >= 1"),
        ({"scales": (1.0,)}, "no or two scales above 0"),
        ({"scales": (1.0, 0.0)}, "no or two scales above 0"),
        ({"roi": (0.0, 1.0)}, "no or four sides of a region"),
        ({"mode": "cubic"}, "mode is 'cubic'; expected 'nearest' or 'bilinear'"),
        ({"nearest_mode": "round"}, "nearest_mode is 'round'"),
        ({"coordinate_transformation_mode": "half"}, "coordinate_transformation_mode is 'half'"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message):
        resize_forward(np.ones((1, 1, 2, 2)), **{"size": (4, 4)} | change)


def test_bad_images():
    with pytest.raises(InputError, match=r"expected \(N, C, H, W\) with pixels"):
        resize_forward(np.ones((1, 2, 2)), size=(4, 4))
    with pytest.raises(InputError, match="with pixels"):
        resize_forward(np.ones((1, 1, 0, 2)), size=(4, 4))
