"""Optimisers and the schedule by hand; parity/ compares them with PyTorch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from comparing import assert_close
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.spec.optim import adam_step, sgd_step, warmup_cosine


def test_sgd_by_hand():
    p, v = np.array([1.0]), np.array([0.0])
    settings = {"learning_rate": 0.1, "momentum": 0.5, "weight_decay": 0.2}
    p, v = sgd_step(p, np.array([2.0]), v, **settings)
    assert_close([p[0], v[0]], [1 - 0.1 * 2.2, 2.2])
    p, v = sgd_step(p, np.array([1.0]), v, **settings)
    second = 0.5 * 2.2 + 1 + 0.2 * 0.78
    assert_close([p[0], v[0]], [0.78 - 0.1 * second, second])


def test_nesterov_looks_ahead():
    p, v = sgd_step(
        np.array([1.0]), np.array([2.0]), np.array([2.0]),
        learning_rate=0.1, momentum=0.5, nesterov=True,
    )  # fmt: skip
    assert_close([p[0], v[0]], [1 - 0.1 * (2 + 0.5 * 3), 3.0])


def test_first_step_of_adam_is_the_learning_rate():
    p, first, second = adam_step(
        np.array([1.0, 1.0]), np.array([3.0, -0.1]), np.zeros(2), np.zeros(2), 1,
        learning_rate=0.01, epsilon=0.0,
    )  # fmt: skip
    assert_close(p, [0.99, 1.01])
    assert_close(first, [0.3, -0.01])
    assert_close(second, [0.009, 0.00001])


@pytest.mark.parametrize("step", [0, -1])
def test_adam_counts_from_1(step):
    with pytest.raises(InputError, match="count from 1"):
        adam_step(*(np.zeros(1),) * 4, step, learning_rate=0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3)])
def test_dtype_shape_and_purity(dtype, shape):
    arrays = [np.full(shape, 0.5, dtype) for _ in range(4)]
    settings = {"learning_rate": 0.1, "weight_decay": 0.01}
    results = (
        *sgd_step(*arrays[:3], momentum=0.9, nesterov=True, **settings),
        *adam_step(*arrays, 3, **settings),
    )
    assert all(r.dtype == dtype and r.shape == shape for r in results)
    assert all((a == 0.5).all() for a in arrays)


def test_warmup_cosine_by_hand():
    got = [warmup_cosine(step, 10, 4) for step in range(10)]
    cosine = [0.5 * (1 + math.cos(math.pi * k / 6)) for k in range(6)]
    assert_close(got, [0.25, 0.5, 0.75, 1.0, *cosine])
    assert got[4] == 1
    assert warmup_cosine(0, 5, 0) == 1
    assert warmup_cosine(0, 1, 0) == 1
    assert warmup_cosine(0, 1, 1) == 1
    assert warmup_cosine(2, 3, 9) == pytest.approx(1 / 3)


@given(st.integers(1, 60), st.integers(0, 60))
def test_warmup_cosine_rises_then_falls_and_never_stops(steps, warmup):
    factors = np.array([warmup_cosine(step, steps, warmup) for step in range(steps)])
    assert (factors > 0).all()
    assert (factors <= 1).all()
    assert (np.diff(factors[:warmup]) > 0).all()
    assert (np.diff(factors[warmup:]) < 0).all()


@pytest.mark.parametrize(
    ("step", "steps", "warmup"), [(-1, 5, 0), (5, 5, 0), (0, 0, 0), (0, 5, -1)]
)
def test_warmup_cosine_out_of_range(step, steps, warmup):
    with pytest.raises(InputError, match="expected 0 <= step < steps"):
        warmup_cosine(step, steps, warmup)


def test_the_cosine_over_all_steps_begins_behind_the_warm_up():
    got = [warmup_cosine(step, 10, 4, "all steps") for step in range(10)]
    assert got[:4] == [0.25, 0.5, 0.75, 1.0]
    assert got[4:] == pytest.approx([0.5 * (1 + np.cos(np.pi * k / 10)) for k in range(4, 10)])
    with pytest.raises(InputError, match="cosine"):
        warmup_cosine(5, 10, 4, "none")


def test_a_rate_set_after_each_step_is_that_of_the_step_before():
    """timm's scheduler: step / warm-up from 0, then half a cosine over all steps."""
    got = [warmup_cosine(step, 10, 4, "all steps", "after the step") for step in range(10)]
    half = [0.5 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]
    np.testing.assert_allclose(got, [0, 0, 1 / 4, 2 / 4, 3 / 4, *half[4:9]])
    without = [warmup_cosine(step, 3, 0, "all steps", "after the step") for step in range(3)]
    np.testing.assert_allclose(without, [1, 1, 0.75])
    assert warmup_cosine(0, 1, 1, "all steps", "after the step") == 0
    with pytest.raises(InputError, match="update"):
        warmup_cosine(0, 3, 1, "all steps", "during the step")
