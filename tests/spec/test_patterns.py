"""N:M patterns and blocks of weights."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.errors import InputError
from fcpts_ref.spec.patterns import (
    block_norms,
    block_sides,
    from_blocks,
    from_matrix,
    into_blocks,
    pattern_mask,
    weight_matrix,
)

LAYOUTS = ["channels", "rows"]
SHAPES = [(4, 6, 3, 3), (5, 8), (2, 4, 1, 1), (1, 2, 2, 3)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_matrix_holds_every_weight_once(shape: Any, layout: Any) -> None:
    weight = np.arange(np.prod(shape)).reshape(shape)
    matrix = weight_matrix(weight, layout)
    assert len(matrix) == shape[0]
    assert np.array_equal(from_matrix(matrix, shape, layout), weight)


def test_channels_are_neighbours_at_one_kernel_position() -> None:
    weight = np.zeros((1, 2, 1, 3))
    weight[0, :, 0, 1] = 1, 2
    assert weight_matrix(weight, "channels").tolist() == [[0, 0, 1, 2, 0, 0]]
    assert weight_matrix(weight, "rows").tolist() == [[0, 1, 0, 0, 2, 0]]


@given(
    st.integers(0, 2**16),
    st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4), (4, 8), (2, 3)]),
    st.sampled_from(LAYOUTS),
    st.booleans(),
)
def test_every_group_keeps_n_of_m(seed: int, pattern: Any, layout: Any, tied: bool) -> None:
    N, M = pattern
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((3, 24, 2, 1))
    if tied:
        weight = np.round(weight)
    mask = pattern_mask(weight, N, M, layout)
    groups = weight_matrix(mask, layout).reshape(-1, M)
    assert (groups.sum(axis=1) == N).all()
    values = np.abs(weight_matrix(weight, layout).reshape(-1, M))
    lost = np.where(groups, np.inf, values).min(axis=1), np.where(groups, 0, values**2).sum(axis=1)
    for own, least in zip(values, lost[1], strict=True):  # no other choice loses less
        best = min(sum(own[i] ** 2 for i in some) for some in combinations(range(M), M - N))
        assert least == pytest.approx(best)
    again = pattern_mask(np.where(mask, weight, 0), N, M, layout)
    kept = np.where(mask, weight, 0)
    assert np.array_equal(np.where(again, kept, 0), kept)  # idempotent


def test_of_equal_weights_the_first_are_pruned() -> None:
    assert pattern_mask(np.ones((1, 4)), 2, 4).tolist() == [[False, False, True, True]]
    assert pattern_mask(np.zeros((1, 4)), 3, 4).tolist() == [[False, True, True, True]]


@pytest.mark.parametrize(
    ("shape", "N", "M", "message"),
    [
        ((2, 4), 4, 4, "expected 1 <= N < M"),
        ((2, 4), 0, 4, "expected 1 <= N < M"),
        ((2, 6), 2, 4, "expects a multiple of 4"),
        ((2, 3, 4, 4), 2, 4, r"runs of 3 weights \(channels\)"),
    ],
)
def test_patterns_refused(shape: Any, N: int, M: int, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        pattern_mask(np.ones(shape), N, M)
    assert "\n" not in str(caught.value)


def test_a_pattern_refuses_nan() -> None:
    with pytest.raises(InputError, match="NaN"):
        pattern_mask(np.array([[1.0, np.nan, 2.0, 3.0]]), 2, 4)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(SHAPES), st.sampled_from(LAYOUTS))
def test_blocks_partition_the_weight(R: int, C: int, shape: Any, layout: Any) -> None:
    sides = block_sides(shape, R, C, layout)
    assert R % sides[0] == 0
    assert C % sides[1] == 0
    weight = np.random.default_rng(0).standard_normal(shape)
    blocks = into_blocks(weight, sides, layout)
    assert blocks.shape[2:] == sides
    assert blocks.size == weight.size
    norms = block_norms(weight, sides, layout)
    assert np.allclose(norms, np.sqrt((blocks**2).mean(axis=(2, 3))))
    places = from_blocks(np.arange(norms.size).reshape(norms.shape), shape, sides, layout)
    inside = into_blocks(places, sides, layout)
    assert (inside == inside[:, :, :1, :1]).all()
    assert np.array_equal(inside[:, :, 0, 0].ravel(), np.arange(norms.size))


def test_blocks_are_smaller_where_they_do_not_divide() -> None:
    assert block_sides((10, 64), 4, 4) == (2, 4)
    assert block_sides((16, 3, 3, 3), 4, 4) == (4, 1)  # three channels at each position
    assert block_sides((16, 3, 3, 3), 4, 9, "rows") == (4, 9)


def test_norms_keep_the_dtype() -> None:
    assert block_norms(np.ones((4, 4), np.float32), (2, 2)).dtype == np.float32
