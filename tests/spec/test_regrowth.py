"""Gradients of pruned weights, and regrowth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.spec.regrowth import drop_share, regrown_mask, straight_through_gradient


def test_pruned_weights_receive_the_gradient_and_the_pull() -> None:
    w, mask, g = np.array([2.0, -4.0]), np.array([1, 0], np.uint8), np.array([1.0, 1.0])
    assert straight_through_gradient(w, mask, g).tolist() == [1, 1]
    assert straight_through_gradient(w, mask, g, 0.5).tolist() == [1, -1]
    single = straight_through_gradient(w.astype(np.float32), mask, g.astype(np.float32), 0.1)
    assert single.dtype == np.float32


def test_the_pull_is_the_derivative_of_a_penalty() -> None:
    """Of pull / 2 |(1 - M) W|^2, the mask constant."""
    generator = np.random.default_rng(0)
    w, mask = generator.standard_normal(5), generator.integers(0, 2, 5)
    penalty = [0.35 * ((1 - mask) * (w + d) ** 2).sum() for d in 1e-6 * np.eye(5)]
    before = [0.35 * ((1 - mask) * (w - d) ** 2).sum() for d in 1e-6 * np.eye(5)]
    got = straight_through_gradient(w, mask, np.zeros(5), 0.7)
    np.testing.assert_allclose(got, (np.array(penalty) - before) / 2e-6, atol=1e-8)


def test_the_share_falls_as_half_a_cosine() -> None:
    assert drop_share(0.0) == 0.3
    assert drop_share(0.375) == pytest.approx(0.15)
    assert drop_share(0.75) == drop_share(1.0) == 0


@given(st.integers(0, 2**16), st.integers(0, 12), st.floats(0, 1), st.booleans())
def test_regrowth_keeps_the_number_of_weights(
    seed: int, kept: int, share: float, tied: bool
) -> None:
    generator = np.random.default_rng(seed)
    w, g = generator.standard_normal((2, 3, 4))
    if tied:
        w, g = np.round(w), np.round(g)
    mask = (generator.permutation(12) < kept).reshape(3, 4)
    new = regrown_mask(w, mask, g, share)
    count = min(int(share * kept), 12 - kept)
    assert np.count_nonzero(new) == kept
    dropped, grown = mask & ~new, new & ~mask
    assert np.count_nonzero(dropped) == np.count_nonzero(grown) == count
    if count:
        assert np.abs(w[dropped]).max() <= np.abs(w[mask & new]).min(initial=np.inf)
        assert np.abs(g[grown]).min() >= np.abs(g[~mask & ~new]).max(initial=0)


def test_of_equal_values_the_first_is_taken() -> None:
    mask = np.array([True, True, False, False])
    new = regrown_mask(np.ones(4), mask, np.zeros(4), 0.5)
    assert new.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("weight", "gradient", "share"),
    [([1.0, 2], [1.0, 1], 1.5), ([np.nan, 1], [1.0, 1], 0.5), ([1.0, 1], [np.inf, 1], 0.5)],
)
def test_regrowth_refuses(weight: list[float], gradient: list[float], share: float) -> None:
    with pytest.raises(InputError, match="expected 0 to 1, and finite"):
        regrown_mask(np.array(weight), np.array([True, False]), np.array(gradient), share)
