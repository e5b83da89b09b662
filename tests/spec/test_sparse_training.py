"""The equations of ST-3 and Spartan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.spec.rescaled_threshold import channel_scales, rescaled_soft_threshold
from fcpts_ref.spec.soft_top_k import soft_top_k, soft_top_k_gradient

SEEDS = st.integers(0, 2**32 - 1)


def test_scales_restore_the_magnitude_of_a_channel() -> None:
    w = np.array([[4.0, -1.0], [1.0, 1.0], [0.0, 0.0], [3.0, 5.0]])
    got = channel_scales(w, 2.0)
    assert got.shape == (4, 1)
    assert got[:, 0].tolist() == pytest.approx([1.01 / 0.81, 1.01 / 0.01, 1.0, 1.0])
    q = rescaled_soft_threshold(w, 2.0)
    assert q.tolist() == [[pytest.approx(2 * 1.01 / 0.81), 0], [0, 0], [0, 0], [1, 3]]
    assert rescaled_soft_threshold(w, 0.0).tolist() == w.tolist()


@pytest.mark.parametrize("shape", [(3, 2, 2, 2), (3, 5), (1, 1)])
def test_scales_keep_shape_and_dtype(shape: tuple[int, ...]) -> None:
    w = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    q = rescaled_soft_threshold(w, 0.3)
    assert q.dtype == np.float32
    assert q.shape == shape
    assert ((q == 0) == (np.abs(w) <= np.float32(0.3))).all()


@given(SEEDS, st.integers(1, 30), st.floats(0, 1), st.floats(0.5, 50))
def test_the_soft_mask_sums_to_the_count(seed: int, size: int, share: float, b: float) -> None:
    v = np.abs(np.random.default_rng(seed).standard_normal(size))
    count = int(share * size)
    m = soft_top_k(v, count, b)
    assert ((m >= 0) & (m <= 1)).all()
    assert m.sum() == pytest.approx(count, abs=1e-9)
    assert (np.diff(m[np.argsort(v)]) >= 0).all()  # larger values are kept more


@given(SEEDS, st.integers(1, 7), st.floats(0.5, 5))
def test_the_soft_mask_is_optimal(seed: int, count: int, b: float) -> None:
    """It maximises <v, m> + entropy(m) / b over masks of this sum: moves within the sum lose."""
    generator = np.random.default_rng(seed)
    v = np.abs(generator.standard_normal(8))

    def value(m: np.ndarray) -> float:
        entropy = -(m * np.log(m) + (1 - m) * np.log(1 - m)).sum()
        return float(v @ m + entropy / b)

    m = soft_top_k(v, count, b)
    for _ in range(10):
        move = generator.standard_normal(8)
        move -= move.mean()
        move *= 0.1 * min(m.min(), 1 - m.max()) / np.abs(move).max()
        assert value(m + move) <= value(m) + 1e-12


@given(SEEDS, st.integers(1, 7), st.floats(0.5, 10))
def test_the_gradient_of_the_soft_mask(seed: int, count: int, b: float) -> None:
    generator = np.random.default_rng(seed)
    v, g = np.abs(generator.standard_normal(8)), generator.standard_normal(8)
    got = soft_top_k_gradient(soft_top_k(v, count, b), b, g)
    steps = 1e-5 * np.eye(8)
    want = [(soft_top_k(v + s, count, b) - soft_top_k(v - s, count, b)) @ g / 2e-5 for s in steps]
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert got.sum() == pytest.approx(0, abs=1e-9)  # one number added to all values moves nothing


def test_a_sharp_mask_is_the_top_k() -> None:
    v = np.array([0.5, 2.0, 1.0, 3.0])
    assert soft_top_k(v, 2, 1e4).tolist() == pytest.approx([0, 1, 0, 1])
    assert (soft_top_k_gradient(np.array([0.0, 1, 0, 1]), 5.0, np.ones(4)) == 0).all()


def test_edges_of_the_soft_top_k() -> None:
    assert soft_top_k(np.ones(3), 0, 2.0).tolist() == [0, 0, 0]
    assert soft_top_k(np.ones(3), 3, 2.0).tolist() == [1, 1, 1]
    assert soft_top_k(np.ones(4), 1, 2.0).tolist() == pytest.approx([0.25] * 4)
    assert soft_top_k(np.zeros(0), 0, 1.0).size == 0


@pytest.mark.parametrize(
    ("values", "count", "sharpness"),
    [([1.0], 2, 1.0), ([1.0], -1, 1.0), ([np.nan], 0, 1.0), ([1.0], 1, 0.0), ([1.0], 1, np.inf)],
)
def test_a_soft_top_k_refuses(values: list[float], count: int, sharpness: float) -> None:
    with pytest.raises(InputError, match="expected a count of 0 to all"):
        soft_top_k(np.array(values), count, sharpness)
