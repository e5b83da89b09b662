"""Addition, subtraction, multiplication, division: broadcasting and its adjoint."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref import layers
from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match

NUMPY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}


@st.composite
def pairs_of_shapes(draw):
    """Two shapes without the batch that broadcast, of any ranks."""
    sides = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))

    def some():
        kept = sides[draw(st.integers(0, len(sides) - 1)) :]
        return tuple(draw(st.sampled_from((1, side))) for side in kept)

    return some(), some()


@pytest.mark.parametrize("name", NUMPY)
@given(shapes=pairs_of_shapes(), batch=st.integers(0, 3))
def test_images_one_by_one(name, shapes, batch):
    """Image by image, NumPy's own broadcasting gives the same."""
    generator = np.random.default_rng(0)
    a, b = (generator.uniform(0.5, 2.0, (batch, *shape)) for shape in shapes)
    y, cache = getattr(layers, f"{name}_forward")(a, b)
    assert y.shape == (batch, *np.broadcast_shapes(*shapes))
    for n in range(batch):
        assert_same_bits(y[n], NUMPY[name](a[n], b[n]))
    da, db = getattr(layers, f"{name}_backward")(np.ones_like(y), cache)
    assert (da.shape, db.shape) == (a.shape, b.shape)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3, 2, 2), (2, 3, 2, 2)),
        ((2, 3, 2, 2), (2, 3, 1, 1)),
        ((2, 2), (2, 3, 2, 2)),
        ((2, 3, 1), (2, 1, 4)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("name", NUMPY)
def test_gradients(name, a, b):
    generator = np.random.default_rng(1)
    assert_gradients_match(
        getattr(layers, f"{name}_forward"),
        getattr(layers, f"{name}_backward"),
        {"a": generator.standard_normal(a), "b": generator.uniform(0.5, 2.0, b)},
        methods=("adjoint", "complex", "jacobian"),
    )


@pytest.mark.parametrize("name", NUMPY)
def test_keeps_float32(name):
    a, b = np.ones((2, 3, 2, 2), np.float32), np.full((2, 3, 1, 1), 2, np.float32)
    y, cache = getattr(layers, f"{name}_forward")(a, b)
    da, db = getattr(layers, f"{name}_backward")(y, cache)
    assert y.dtype == da.dtype == db.dtype == np.float32


def test_a_square_has_both_gradients():
    x = np.array([[3.0]])
    _, cache = layers.multiply_forward(x, x)
    da, db = layers.multiply_backward(np.ones((1, 1)), cache)
    assert (da + db).item() == 6


def test_division_by_zero_is_infinite():
    with np.errstate(divide="ignore"):
        y, _ = layers.divide_forward(np.ones((1, 1)), np.zeros((1, 1)))
    assert np.isinf(y).all()


def test_squeeze_and_excitation():
    """Weights per channel: their gradient is the sum over the pixels."""
    x, weights = np.arange(8.0).reshape(1, 2, 2, 2), np.array([2.0, 3.0]).reshape(1, 2, 1, 1)
    y, cache = layers.multiply_forward(x, weights)
    dx, dweights = layers.multiply_backward(np.ones_like(y), cache)
    assert_close(dx, np.broadcast_to(weights, x.shape))
    assert_close(dweights.ravel(), [0 + 1 + 2 + 3, 4 + 5 + 6 + 7])


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((1, 2, 3), (1, 3, 3), r"\(2, 3\) and \(3, 3\) do not broadcast"),
        ((2, 3), (1, 3), "expected the same batch"),
        ((), (1, 3), "expected the same batch"),
    ],
)
def test_bad_input(name, a, b, message):
    with pytest.raises(InputError, match=message):
        getattr(layers, f"{name}_forward")(np.ones(a), np.ones(b))
