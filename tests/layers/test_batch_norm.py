"""Batch norm: which variance it divides by, which it stores, and its derivative."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits

from fcpts_ref.errors import InputError
from fcpts_ref.gradcheck import assert_gradients_match
from fcpts_ref.layers import batch_norm_backward, batch_norm_forward

NAMES = ("x", "gamma", "beta", "running_mean", "running_var")


def draw(shape=(3, 2, 2, 2), seed=0):
    generator = np.random.default_rng(seed)
    C = shape[1]
    return {
        "x": 2 * generator.standard_normal(shape) + 1,
        "gamma": generator.uniform(0.5, 2, C),
        "beta": generator.standard_normal(C),
        "running_mean": generator.standard_normal(C),
        "running_var": generator.uniform(0.5, 2, C),
    }


def test_training_normalises_by_the_biased_variance():
    given = draw()
    (y, _, _), _ = batch_norm_forward(**given, training=True, epsilon=1e-3)
    for c in range(2):
        values = given["x"][:, c]
        want = (values - values.mean()) / np.sqrt(values.var(ddof=0) + 1e-3)
        assert_close(y[:, c], given["gamma"][c] * want + given["beta"][c], 1e-14)


def test_training_stores_the_unbiased_variance():
    given = draw()
    (_, mean, var), _ = batch_norm_forward(**given, training=True, momentum=0.3)
    batch_mean = given["x"].mean(axis=(0, 2, 3))
    batch_var = given["x"].var(axis=(0, 2, 3), ddof=1)
    assert_close(mean, 0.7 * given["running_mean"] + 0.3 * batch_mean, 1e-14)
    assert_close(var, 0.7 * given["running_var"] + 0.3 * batch_var, 1e-14)


def test_default_momentum_and_epsilon():
    given = draw()
    plain, _ = batch_norm_forward(**given, training=True)
    spelt_out, _ = batch_norm_forward(**given, training=True, momentum=0.1, epsilon=1e-5)
    for got, want in zip(plain, spelt_out, strict=True):
        assert_same_bits(got, want)


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    given = draw()
    (y, mean, var), _ = batch_norm_forward(**given, training=False)
    want = (given["x"][:, 1] - given["running_mean"][1]) / np.sqrt(given["running_var"][1] + 1e-5)
    assert_close(y[:, 1], given["gamma"][1] * want + given["beta"][1], 1e-14)
    assert_same_bits(mean, given["running_mean"])
    assert_same_bits(var, given["running_var"])


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_gradients(training):
    """The running statistics are constants of the layer: they have no gradient."""
    assert_gradients_match(
        batch_norm_forward,
        batch_norm_backward,
        draw(),
        settings={"training": training, "epsilon": 1e-3},
        output=0,
        constant=("running_mean", "running_var"),
        methods=("adjoint", "complex", "jacobian"),
    )


def test_gradient_of_x_is_orthogonal_to_shift_and_scale():
    """In training y does not change when x is shifted, nor (epsilon = 0) when it is scaled."""
    given = draw((4, 3, 2, 2))
    (y, _, _), cache = batch_norm_forward(**given, training=True, epsilon=0)
    dx, _, _ = batch_norm_backward(np.random.default_rng(1).standard_normal(y.shape), cache)
    assert np.abs(dx).max() > 0.1
    assert np.abs(dx.sum(axis=(0, 2, 3))).max() <= 1e-13
    assert np.abs((dx * given["x"]).sum(axis=(0, 2, 3))).max() <= 1e-12


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_keeps_the_dtype(dtype, training):
    given = {name: array.astype(dtype) for name, array in draw().items()}
    (y, mean, var), cache = batch_norm_forward(**given, training=training)
    gradients = batch_norm_backward(np.ones_like(y), cache)
    assert {a.dtype for a in (y, mean, var, *gradients)} == {np.dtype(dtype)}


def test_constant_channel_is_normalised_to_its_shift():
    given = draw() | {"x": np.full((3, 2, 2, 2), 5.0)}
    (y, _, var), _ = batch_norm_forward(**given, training=True)
    assert_close(y, np.broadcast_to(given["beta"][:, None, None], y.shape))
    assert_close(var, 0.9 * given["running_var"])


def test_no_images_in_evaluation():
    given = draw() | {"x": np.ones((0, 2, 2, 2))}
    (y, _, _), cache = batch_norm_forward(**given, training=False)
    dx, dgamma, _ = batch_norm_backward(y, cache)
    assert y.shape == dx.shape == (0, 2, 2, 2)
    assert not dgamma.any()


@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (0, 2, 2, 2)], ids=["one value", "none"])
def test_training_needs_two_values(shape):
    with pytest.raises(InputError, match="expected at least 2 values per channel"):
        batch_norm_forward(**(draw() | {"x": np.ones(shape)}), training=True)


@pytest.mark.parametrize("name", NAMES)
def test_bad_shapes(name):
    with pytest.raises(InputError, match=r"expected \(N, C, H, W\) and \(C,\)"):
        batch_norm_forward(**(draw() | {name: np.ones((2, 3))}), training=False)
