"""The functions on vectors and register tiles, one by one."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from numba import njit

if numba.config.DISABLE_JIT:
    pytest.skip("vector intrinsics need the JIT", allow_module_level=True)

from fcpts_ref.engines.numba.simd import register_tiles as tiles
from fcpts_ref.engines.numba.simd import vectors as v
from fcpts_ref.engines.numba.simd.types import lanes

DTYPES = [np.float32, np.float64]


@njit
def _apply(operation, a, b, c, out):
    x, y, z = v.load(a, 0), v.load(b, 1), v.broadcast(c, 2)
    if operation == 0:
        value = v.add(x, y)
    elif operation == 1:
        value = v.subtract(x, y)
    elif operation == 2:
        value = v.multiply(x, y)
    else:
        value = v.multiply_add(x, y, z)
    v.store(out, 3, value)


@njit
def _sum(a):
    return v.sum_lanes(v.load(a, 0))


@njit
def _apply_mask(a, mask, out):
    v.store(out, 0, v.apply_mask(v.load(a, 0), mask, 1))


@njit
def _outer(w, x, N_VECTORS, step, LANES, out):
    tile = tiles.zero_tile(x, N_VECTORS, 3, LANES)
    for _ in range(2):
        tile = tiles.outer_product(tile, N_VECTORS, w, 1, x, 2, step)
    for i, value in enumerate(tile):
        v.store(out, i * len(LANES), value)


@njit
def _dots(a, b, offsets, N_VECTORS, LANES, out):
    tile = tiles.zero_tile(a, N_VECTORS, 4, LANES)
    tile = tiles.dot_products(tile, a, 0, 2, b, 1, tiles.take(offsets, 1, N_VECTORS))
    for i, value in enumerate(tile):
        out[i] = v.sum_lanes(value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic(dtype):
    L = lanes(dtype)
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=L + 4).astype(dtype) for _ in range(3))
    x, y = a[:L], b[1 : L + 1]
    for operation, expected in enumerate((x + y, x - y, x * y)):
        out = np.zeros(L + 4, dtype)
        _apply(operation, a, b, c, out)
        np.testing.assert_array_equal(out[3 : L + 3], expected)
        np.testing.assert_array_equal(out[[0, 1, 2, -1]], 0)


def test_multiply_add_rounds_once():
    a = np.full(32, 1 + 2.0**-12, np.float32)
    c = np.full(32, -1, np.float32)
    out = np.zeros(32, np.float32)
    _apply(3, a, a, c, out)
    assert out[3] == np.float32(2.0**-11 + 2.0**-24)  # the last term is lost if a * a is rounded


@pytest.mark.parametrize("dtype", DTYPES)
def test_sum_of_lanes_by_halves(dtype):
    a = np.random.default_rng(1).normal(size=lanes(dtype)).astype(dtype)
    expected = a
    while expected.size > 1:
        half = expected.size // 2
        expected = expected[:half] + expected[half:]
    assert _sum(a) == expected[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_mask_clears_even_nan(dtype):
    L = lanes(dtype)
    a = np.full(L, np.nan, dtype)
    a[0] = 2
    mask = np.zeros(L + 1, np.int32 if dtype == np.float32 else np.int64)
    mask[1] = -1
    out = np.ones(L, dtype)
    _apply_mask(a, mask, out)
    np.testing.assert_array_equal(out, [2] + [0] * (L - 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(("part", "step"), [(1, None), (1, 5), (2, None), (2, 7)])
def test_outer_product(dtype, width, part, step):
    L = lanes(dtype) // part  # whole vectors and half ones
    w, x = np.arange(8, dtype=dtype), np.arange(4 * L + 20, dtype=dtype)
    out = np.zeros((3, width, L), dtype)
    _outer(w, x, (0,) * width, step, (0,) * L, out)
    starts = 2 + np.arange(width) * (L if step is None else step)
    expected = 2 * w[1:4, None, None] * x[starts[:, None] + np.arange(L)]
    np.testing.assert_array_equal(out, expected)


@njit
def _unzip_and_zip(a, LANES, evens, odds, again):
    even, odd = tiles.load_pairs(a, 1, LANES)
    v.store(evens, 0, even)
    v.store(odds, 0, odd)
    low, high = tiles.zip_lanes(tiles.load_lanes(evens, 0, LANES), odd)
    v.store(again, 0, low)
    v.store(again, len(LANES), high)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", [1, 2])
def test_pairs_of_lanes(dtype, part):
    L = lanes(dtype) // part
    a = np.arange(2 * L + 1, dtype=dtype)
    evens, odds, again = np.zeros(L, dtype), np.zeros(L, dtype), np.zeros(2 * L, dtype)
    _unzip_and_zip(a, (0,) * L, evens, odds, again)
    np.testing.assert_array_equal(evens, a[1::2])
    np.testing.assert_array_equal(odds, a[2::2])
    np.testing.assert_array_equal(again, a[1:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_dot_products(dtype):
    L = lanes(dtype)
    a, b = np.arange(2 * L + 8, dtype=dtype), np.arange(3 * L + 8, dtype=dtype)
    offsets = np.array([99, 5, -1])
    out = np.zeros(8, dtype)
    _dots(a, b, offsets, (0, 0), (0,) * L, out)
    expected = [
        a[2 * m : 2 * m + L] @ b[1 + shift : 1 + shift + L] for m in range(4) for shift in (5, -1)
    ]
    np.testing.assert_array_equal(out, expected)
