"""Concatenation, slices, padding, and the mean over axes."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref import layers
from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match

ALL = ("adjoint", "complex", "jacobian")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def check(name, inputs, settings):
    assert_gradients_match(
        getattr(layers, f"{name}_forward"),
        getattr(layers, f"{name}_backward"),
        inputs,
        settings=settings,
        methods=ALL,
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_concat(axis):
    at = axis + 1 if axis >= 0 else axis
    sides = [[2, 3, 2, 4] for _ in range(3)]
    for side, shape in zip((1, 3, 2), sides, strict=True):
        shape[at] = side
    values = {f"v{i}": draw(*shape, seed=i) for i, shape in enumerate(sides)}
    y, _ = layers.concat_forward(*values.values(), axis=axis)
    assert_same_bits(y, np.concatenate(list(values.values()), axis=at))
    check("concat", values, {"axis": axis})


def test_concat_of_one_value():
    check("concat", {"x": draw(2, 3)}, {"axis": 0})


@given(st.integers(1, 6), st.integers(-8, 8), st.integers(-8, 8), st.integers(-3, 3))
def test_slices_are_those_of_python(side, start, stop, step):
    x = draw(2, 3, side, 2)
    settings = {"axis": 1, "start": start, "stop": stop, "step": step}
    if step == 0 or not list(range(side))[start:stop:step]:
        with pytest.raises(InputError, match=r"slice (takes|got step 0)"):
            layers.slice_forward(x, **settings)
        return
    y, cache = layers.slice_forward(x, **settings)
    assert_same_bits(y, x[:, :, start:stop:step])
    dx = layers.slice_backward(y, cache)
    assert_same_bits(dx[:, :, start:stop:step], y)
    assert np.count_nonzero(dx) == np.count_nonzero(y)


def test_slice_to_the_beginning():
    """Python cannot write it with a stop of -1; numbers far outside are clamped, as in ONNX."""
    x = draw(1, 5)
    y, _ = layers.slice_forward(x, axis=0, start=4, stop=-(2**31), step=-2)
    assert_same_bits(y, x[:, ::-2])
    check("slice", {"x": x}, {"axis": 0, "start": 4, "stop": -(2**31), "step": -2})


def test_a_slice_is_a_copy():
    x = draw(1, 4)
    y, _ = layers.slice_forward(x, axis=0, start=0, stop=4)
    y += 1
    assert (y != x).all()


@pytest.mark.parametrize(
    ("shape", "pads", "value"),
    [((2, 3), (1, 2), 0.0), ((1, 2, 2, 3), (0, 1, 2, 3, 0, 1), -2.0), ((2, 1, 1), (0,) * 4, 5.0)],
)
def test_pad(shape, pads, value):
    x, rank = draw(*shape), len(shape) - 1
    y, _ = layers.pad_forward(x, pads=pads, value=value)
    widths = [(0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    assert_same_bits(y, np.pad(x, widths, constant_values=value))
    check("pad", {"x": x}, {"pads": pads, "value": value})


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axes", [(0,), (1, 2), (-1,), (-1, 0), ()])
def test_mean(axes, keepdims):
    x = draw(2, 3, 2, 4)
    where = tuple(axis + 1 if axis >= 0 else axis for axis in axes)
    y, _ = layers.mean_forward(x, axes=axes, keepdims=keepdims)
    assert_close(y, x.mean(axis=where, keepdims=keepdims), 1e-15)
    check("mean", {"x": x}, {"axes": axes, "keepdims": keepdims})


def test_mean_of_pixels_is_global_pooling():
    x = draw(2, 3, 4, 5)
    y, _ = layers.mean_forward(x, axes=(1, 2), keepdims=False)
    assert_same_bits(y, layers.global_average_pool_forward(x)[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("images", [0, 1])
def test_keeps_the_dtype(dtype, images):
    x = np.ones((images, 3, 2, 2), dtype)
    for name, settings in (
        ("concat", {"axis": 0}),
        ("slice", {"axis": 0, "start": 1, "stop": 2}),
        ("pad", {"pads": (1,) * 6, "value": 0.5}),
        ("mean", {"axes": (0, 1)}),
    ):
        y, cache = getattr(layers, f"{name}_forward")(x, **settings)
        dx = getattr(layers, f"{name}_backward")(np.ones_like(y), cache)
        dx = dx[0] if isinstance(dx, tuple) else dx
        assert y.dtype == dx.dtype == dtype
        assert dx.shape == x.shape


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("concat", {"axis": 2}, "axis 2 of a value with 2 axes; expected -2 to 1"),
        ("concat", {"axis": "0"}, "axis '0'"),
        ("slice", {"axis": -3, "start": 0, "stop": 1}, "axis -3"),
        ("slice", {"axis": 0, "start": 2, "stop": 2}, "which are none"),
        ("slice", {"axis": 0, "start": 0, "stop": 2, "step": 0}, "step 0"),
        ("pad", {"pads": (1, 1)}, "for 2 axes; expected 4 numbers >= 0"),
        ("pad", {"pads": (0, 0, 0, -1)}, "expected 4 numbers >= 0"),
        ("mean", {"axes": (0, -2)}, "expected different axes"),
        ("mean", {"axes": (2,)}, "axis 2"),
    ],
)
def test_bad_input(name, settings, message):
    with pytest.raises(InputError, match=message):
        getattr(layers, f"{name}_forward")(np.ones((1, 2, 2)), **settings)


def test_bad_shapes():
    with pytest.raises(InputError, match="expected the same but for axis 0"):
        layers.concat_forward(np.ones((1, 2, 2)), np.ones((1, 2, 3)), axis=0)
    with pytest.raises(InputError, match="expected the same but for axis 0"):
        layers.concat_forward(np.ones((1, 2)), np.ones((2, 2)), axis=0)
    with pytest.raises(InputError, match="that have elements"):
        layers.mean_forward(np.ones((1, 2, 0)), axes=(1,))
