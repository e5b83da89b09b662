"""Softmax over any axis, matmul, reshape, transpose, layer norm, attention, stored arrays."""

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
TOKENS = (2, 3, 4)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def ones(*shape):
    return np.ones(shape)


@pytest.mark.parametrize(
    ("name", "inputs", "settings"),
    [
        ("softmax", {"x": draw(2, 3, 2)}, {"axis": 0}),
        ("log_softmax", {"x": draw(2, 3, 2)}, {"axis": -2}),
        ("linear", {"x": draw(2, 3, 4), "weight": draw(2, 4), "bias": draw(2)}, {}),
        ("matmul", {"a": draw(2, 3, 2), "b": draw(2, 2, 2)}, {}),
        ("matmul", {"a": draw(2, 1, 3, 2), "b": draw(2, 2, 2, 2)}, {}),
        ("matmul", {"a": draw(2, 3, 2), "b": draw(2, 2, 2, 2)}, {}),
        ("reshape", {"x": draw(2, 3, 2)}, {"shape": (2, 1, -1)}),
        ("transpose", {"x": draw(2, 3, 2, 2)}, {"permutation": (1, 2, 0)}),
        ("flatten", {"x": draw(2, 3, 2, 2)}, {"axis": -2}),
        ("layer_norm", {"x": draw(2, 3, 4), "gamma": draw(4), "beta": draw(4)}, {"shape": (4,)}),
        ("layer_norm", {"x": draw(2, 3, 4), "gamma": None, "beta": None}, {"shape": (3, 4)}),
        ("attention", {"q": draw(1, 3, 4), "k": draw(1, 2, 4), "v": draw(1, 2, 2)}, {"heads": 2}),
        ("attention", {"q": draw(2, 1, 2), "k": draw(2, 1, 2), "v": draw(2, 1, 2)}, {"heads": 1}),
        ("class_token", {"x": draw(*TOKENS), "token": draw(4)}, {}),
        ("add_parameter", {"x": draw(*TOKENS), "parameter": draw(3, 1)}, {}),
        ("add_parameter", {"x": draw(2, 1, 4), "parameter": draw(3, 1)}, {}),
        ("multiply_parameter", {"x": draw(*TOKENS), "parameter": draw(1)}, {}),
        ("multiply_parameter", {"x": draw(2, 4), "parameter": draw(3, 4)}, {}),
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


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize(
    ("name", "shapes", "settings"),
    [
        ("softmax", [TOKENS], {"axis": 0}),
        ("log_softmax", [TOKENS], {"axis": 0}),
        ("linear", [TOKENS, (5, 4), (5,)], {}),
        ("matmul", [TOKENS, (2, 4, 5)], {}),
        ("reshape", [TOKENS], {"shape": (4, 3)}),
        ("transpose", [TOKENS], {"permutation": (1, 0)}),
        ("flatten", [TOKENS], {"axis": 1}),
        ("layer_norm", [TOKENS, (4,), (4,)], {"shape": (4,)}),
        ("attention", [TOKENS, TOKENS, TOKENS], {"heads": 2}),
        ("class_token", [TOKENS, (4,)], {}),
        ("add_parameter", [TOKENS, (4,)], {}),
        ("multiply_parameter", [TOKENS, (3, 4)], {}),
    ],
)
@pytest.mark.parametrize("images", [0, 1, 2])
def test_keeps_the_dtype_of_any_number_of_images(name, shapes, settings, dtype, images):
    batched = {"matmul": 2, "attention": 3}.get(name, 1)
    inputs = [
        np.ones((images, *shape[1:]) if i < batched else shape, dtype)
        for i, shape in enumerate(shapes)
    ]
    y, cache = getattr(layers, f"{name}_forward")(*inputs, **settings)
    gradients = getattr(layers, f"{name}_backward")(np.ones_like(y), cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert {y.dtype, *(g.dtype for g in gradients)} == {np.dtype(dtype)}
    assert y.shape[0] == images
    for array, gradient in zip(inputs, gradients, strict=True):
        assert gradient.shape == array.shape


@pytest.mark.parametrize(
    ("name", "inputs", "settings", "message"),
    [
        ("softmax", [ones(2, 3)], {"axis": 1}, "expected -1 to 0"),
        ("log_softmax", [ones(2, 3)], {"axis": -2}, "expected -1 to 0"),
        ("flatten", [ones(2, 3, 4)], {"axis": 2}, "expected -2 to 1"),
        ("matmul", [ones(2, 3), ones(2, 3)], {}, r"expected \(N, ..., I, J\)"),
        ("matmul", [ones(2, 3, 4), ones(2, 3, 4)], {}, r"expected \(N, ..., I, J\)"),
        ("matmul", [ones(2, 3, 4), ones(1, 4, 3)], {}, r"expected \(N, ..., I, J\)"),
        ("matmul", [ones(2, 2, 3, 4), ones(2, 3, 4, 3)], {}, r"expected \(N, ..., I, J\)"),
        ("reshape", [ones(2, 6)], {"shape": (4,)}, "expected as many values"),
        ("reshape", [ones(2, 6)], {"shape": (4, -1)}, "expected as many values"),
        ("reshape", [ones(2, 6)], {"shape": (-1, -1)}, "expected as many values"),
        ("reshape", [ones(2, 6)], {"shape": (0, -1)}, "expected as many values"),
        ("transpose", [ones(2, 3, 4)], {"permutation": (0,)}, "2 axes after the batch once"),
        ("transpose", [ones(2, 3, 4)], {"permutation": (1, 1)}, "2 axes after the batch once"),
        ("layer_norm", [ones(2, 3)], {"shape": (2, 3)}, r"expected \(N, ..., \*shape\)"),
        ("layer_norm", [ones(2, 3)], {"shape": (4,)}, r"expected \(N, ..., \*shape\)"),
        ("layer_norm", [ones(2, 3), ones(3)], {"shape": (3,)}, "two of that shape or none"),
        ("layer_norm", [ones(2, 3), ones(1), ones(3)], {"shape": (3,)}, "two of that shape"),
        ("attention", [ones(2, 3, 4)] * 3, {"heads": 3}, "3 heads; expected"),
        ("attention", [ones(2, 3, 4), ones(2, 3, 4), ones(2, 2, 4)], {"heads": 2}, "expected"),
        ("attention", [ones(2, 3, 4), ones(1, 3, 4), ones(1, 3, 4)], {"heads": 2}, "expected"),
        ("class_token", [ones(2, 3, 4), ones(3)], {}, r"expected \(N, T, D\) and \(D,\)"),
        ("class_token", [ones(2, 4), ones(4)], {}, r"expected \(N, T, D\) and \(D,\)"),
        ("add_parameter", [ones(2, 3, 4), ones(2, 4)], {}, "can be broadcast"),
        ("multiply_parameter", [ones(2, 3, 4), ones(3)], {}, "can be broadcast"),
    ],
)
def test_bad_input(name, inputs, settings, message):
    with pytest.raises(InputError, match=message) as caught:
        getattr(layers, f"{name}_forward")(*inputs, **settings)
    assert "\n" not in str(caught.value)


def test_softmax_sums_to_one_over_its_axis_and_takes_large_numbers():
    x = np.array([[[1000.0, -1000.0], [1001.0, 0.0]]])
    p, _ = layers.softmax_forward(x, axis=0)
    assert_close(p.sum(axis=1), np.ones((1, 2)), 1e-15)
    assert_close(np.exp(layers.log_softmax_forward(x, axis=0)[0]), p, 1e-14)
    assert np.isnan(layers.softmax_forward(np.array([[np.nan, 1.0]]))[0]).all()


def test_linear_takes_each_token_by_itself():
    x, weight, bias = draw(2, 3, 4), draw(5, 4, seed=1), draw(5, seed=2)
    y, _ = layers.linear_forward(x, weight, bias)
    for t in range(3):
        assert_close(y[:, t], layers.linear_forward(x[:, t], weight, bias)[0], 1e-15)


@given(st.permutations(range(4)), st.integers(0, 9))
def test_transposing_back_restores(permutation, seed):
    x = draw(2, 1, 2, 3, 4, seed=seed)
    y, cache = layers.transpose_forward(x, permutation=permutation)
    assert y.flags.c_contiguous
    assert_same_bits(layers.transpose_backward(y, cache), x)


def test_layer_norm_of_a_constant_and_of_one_feature():
    y, cache = layers.layer_norm_forward(np.full((2, 3), 0.75), shape=(3,))
    assert not y.any()
    assert not layers.layer_norm_backward(np.ones((2, 3)), cache)[0].any()
    y, _ = layers.layer_norm_forward(draw(2, 1), ones(1), np.full(1, 7.0), shape=(1,))
    np.testing.assert_array_equal(y, 7)


def test_layer_norm_has_mean_0_and_variance_1():
    y, _ = layers.layer_norm_forward(3 + 5 * draw(4, 64), shape=(64,), epsilon=0.0)
    assert_close(y.mean(axis=1), np.zeros(4), 1e-14)
    assert_close(y.var(axis=1), np.ones(4), 1e-14)


def test_attention_with_one_key_returns_its_value():
    q, k, v = draw(2, 3, 4), draw(2, 1, 4, seed=1), draw(2, 1, 6, seed=2)
    y, _ = layers.attention_forward(q, k, v, heads=2)
    assert_close(y, np.broadcast_to(v, (2, 3, 6)), 1e-15)


def test_attention_chooses_the_key_that_fits():
    """A query far along one of orthogonal keys takes that key's value, in each head its own."""
    k = np.tile(np.eye(2), 2)[np.newaxis]  # (1, 2 keys, 2 heads of 2 features)
    q = np.array([[[1000.0, 0, 0, 1000.0]]])  # head 0 asks for key 0, head 1 for key 1
    v = np.array([[[1.0, 10.0], [2.0, 20.0]]])
    y, _ = layers.attention_forward(q, k, v, heads=2)
    np.testing.assert_array_equal(y, [[[1.0, 20.0]]])


def test_the_class_token_comes_first():
    y, _ = layers.class_token_forward(np.zeros((2, 1, 3)), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(y, [[[1, 2, 3], [0, 0, 0]]] * 2)
