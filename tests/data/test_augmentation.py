"""Images mixed with each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.data.augmentation import mixed


def batch(count: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(count).random((count, 3, 4, 5)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_shares_of_two_images(dtype: str) -> None:
    images = batch(3, dtype)
    seen = mixed(images, 0.25)
    assert seen.dtype == dtype
    expected = 0.25 * images.astype(np.float64) + 0.75 * images[::-1].astype(np.float64)
    np.testing.assert_allclose(seen, expected, rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_all_of_one_image(count: int) -> None:
    images = batch(count)
    np.testing.assert_array_equal(mixed(images, 1.0), images)
    np.testing.assert_array_equal(mixed(images, 0.0), images[::-1])


@given(st.floats(0, 1), st.integers(1, 9))
def test_the_mean_of_a_batch_stays(share: float, count: int) -> None:
    images = batch(count)
    seen = mixed(images, share)
    np.testing.assert_allclose(seen.mean(axis=0), images.mean(axis=0), rtol=1e-13, atol=0)
    assert seen.min() >= 0
    assert seen.max() <= 1
