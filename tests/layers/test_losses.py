"""Softmax, log-softmax, cross-entropy and the KL divergence."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from comparing import assert_close

from fcpts_ref import layers
from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match
from fcpts_ref.spec import equations

ALL = ("adjoint", "complex", "jacobian")
LABELS = np.array([2, 0, 4])


def draw(*shape, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (1, 1), (0, 3)])
def test_softmax_equals_scipy(name, shape):
    x = draw(*shape, scale=3)
    y, _ = getattr(layers, f"{name}_forward")(x)
    assert_close(y, getattr(scipy.special, name)(x, axis=-1), 1e-14)


def test_softmax_of_extreme_logits():
    x = np.array([[1e4, 0.0, -1e4]])
    p, _ = layers.softmax_forward(x)
    np.testing.assert_array_equal(p, [[1, 0, 0]])
    log_p, _ = layers.log_softmax_forward(x)
    np.testing.assert_array_equal(log_p, [[0, -1e4, -2e4]])


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_gradients(name):
    assert_gradients_match(
        getattr(layers, f"{name}_forward"),
        getattr(layers, f"{name}_backward"),
        {"x": draw(3, 5)},
        methods=ALL,
    )


def test_cross_entropy_gradient():
    assert_gradients_match(
        layers.cross_entropy_forward,
        layers.cross_entropy_backward,
        {"logits": draw(3, 5), "labels": LABELS},
        methods=ALL,
    )


def test_cross_entropy():
    logits = draw(3, 5)
    loss, cache = layers.cross_entropy_forward(logits, LABELS)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert_close(loss, -np.log(p[[0, 1, 2], LABELS]).mean(), 1e-14)
    one_hot = np.eye(5)[LABELS]
    assert_close(layers.cross_entropy_backward(2.0, cache), 2 * (p - one_hot) / 3, 1e-14)


def test_cross_entropy_of_one_class_is_0():
    loss, cache = layers.cross_entropy_forward(draw(2, 1), np.zeros(2, int))
    assert loss == 0
    assert not layers.cross_entropy_backward(1.0, cache).any()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kl_gradients(temperature):
    assert_gradients_match(
        layers.kl_divergence_forward,
        layers.kl_divergence_backward,
        {"dense_logits": draw(3, 5), "sparse_logits": draw(3, 5, seed=1)},
        settings={"temperature": temperature},
        methods=ALL,
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kl_is_equation_4(temperature):
    dense, sparse = draw(3, 5), draw(3, 5, seed=1)
    loss, cache = layers.kl_divergence_forward(dense, sparse, temperature=temperature)
    want = equations.reconstruction_loss(dense, sparse, temperature=temperature)
    assert_close(loss, want, 1e-14)
    _, dsparse = layers.kl_divergence_backward(1.0, cache)
    want = equations.reconstruction_loss_gradient(dense, sparse, temperature=temperature)
    assert_close(dsparse, want, 1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype(dtype):
    logits, other = draw(3, 5).astype(dtype), draw(3, 5, seed=1).astype(dtype)
    for forward, backward, inputs in (
        (layers.softmax_forward, layers.softmax_backward, (logits,)),
        (layers.log_softmax_forward, layers.log_softmax_backward, (logits,)),
        (layers.cross_entropy_forward, layers.cross_entropy_backward, (logits, LABELS)),
        (layers.kl_divergence_forward, layers.kl_divergence_backward, (logits, other)),
    ):
        value, cache = forward(*inputs)
        gradients = backward(np.ones_like(value) if np.ndim(value) else 1.0, cache)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        assert {value.dtype, *(g.dtype for g in gradients)} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (draw(3, 5), np.array([0, 1]), r"expected \(3,\) integers"),
        (draw(3, 5), np.array([0.0, 1.0, 2.0]), r"expected \(3,\) integers"),
        (draw(3, 5), np.array([0, 1, 5]), r"outside \[0, 5\)"),
        (draw(3, 5), np.array([0, 1, -1]), r"outside \[0, 5\)"),
        (draw(0, 5), np.zeros(0, int), "empty"),
        (draw(5), np.array([1]), r"expected \(N, K\)"),
    ],
)
def test_cross_entropy_bad_input(logits, labels, message):
    with pytest.raises(InputError, match=message):
        layers.cross_entropy_forward(logits, labels)


@pytest.mark.parametrize(("one", "other"), [((3, 5), (1, 5)), ((5,), (5,)), ((3, 5), (3, 4))])
def test_kl_bad_input(one, other):
    with pytest.raises(InputError, match=r"expected \(N, K\) twice"):
        layers.kl_divergence_forward(draw(*one), draw(*other))
