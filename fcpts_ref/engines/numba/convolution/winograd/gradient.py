"""The weight gradient by Winograd's algorithm (see ``winograd``).

Each transformed coefficient is the product of two matrices, (C, tiles) and (tiles, K).  Lanes are
output channels, so nothing is summed across lanes: the images of dy are first copied to channels
last; the coefficients of x come with tiles as lanes and are taken one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.convolution.winograd.correlation import GAP, prefetch_share
from fcpts_ref.engines.numba.convolution.winograd.tiles import (
    COEFFICIENTS,
    SPAN,
    STRIPS,
    transform_gradients,
    transform_inputs,
)
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows, to_channels_last
from fcpts_ref.engines.numba.simd.register_tiles import load_as, outer_product_apart, zero_tile
from fcpts_ref.engines.numba.simd.vectors import add, store
from fcpts_ref.engines.numba.tuning import WINOGRAD_GRADIENT_ROWS

ROWS = WINOGRAD_GRADIENT_ROWS


@compiled
def winograd_weight_gradient(
    dy: Any, x: Any, grid: Any, corners: Any, chunk: int, batch: int, sums: Any
) -> None:
    """sums[i, p, c, k] = sum over the tiles of the images of chunk i of coefficient p of x and dy.

    grid: as in ``winograd_correlation``, of dy; corners (tiles, 2): the image within a group and
    the first pixel of the tile in every lane; chunk: images, a multiple of the group; batch:
    vectors of tiles that are multiplied at a time; sums: (chunks, COEFFICIENTS, C, K), both rounded
    up: to ROWS, and to whole vectors.

    Threads share the chunks, whose size does not depend on the threads.
    """
    for_each(len(sums), _gradient_of_chunk, dy, x, grid, corners, chunk, batch, sums)


@compiled_part
def _gradient_of_chunk(
    i: int, dy: Any, x: Any, grid: Any, corners: Any, chunk: int, batch: int, sums: Any
) -> None:
    strips, group, pitch, shift = grid.strips, grid.group, grid.pitch, grid.shift
    images, C, plane = x.shape
    channels, columns = sums.shape[2:]
    L = len(grid.LANES)
    vectors, (_, K, plane_size) = len(corners) // L, dy.shape
    x_share = group * plane // vectors  # elements of the next group for each channel
    dy_share = group * K * plane_size // (vectors * C)
    transposed = aligned_rows(group * plane_size, columns, x)
    x_coeffs = aligned_rows(COEFFICIENTS, channels * batch * L + GAP, x)
    dy_coeffs = aligned_rows(COEFFICIENTS, batch * L * columns + GAP, x)
    places = np.empty(STRIPS, np.int64)
    sums[i] = 0
    held = 0  # vectors
    for first in range(i * chunk, min((i + 1) * chunk, images), group):
        for n in range(first, first + group):
            here = transposed[(n - first) * plane_size : (n - first + 1) * plane_size]
            if n < images:
                to_channels_last(dy, n, 0, here)
            else:
                here[:] = 0
        for v in range(vectors):
            for j in range(STRIPS):
                n = min(first + strips[v * STRIPS + j, 0], images - 1)
                places[j] = n * C * plane + strips[v * STRIPS + j, 1] - shift
            for c in range(C):
                turn = v * C + c
                prefetch_share(x, (first + group) * C * plane, turn, x_share)
                prefetch_share(dy, (first + group) * K * plane_size, turn, dy_share)
                transform_inputs(x, places, c * plane, pitch, x_coeffs, (c * batch + held) * L)
            for s in range(L):
                at = corners[v * L + s, 0] * plane_size + corners[v * L + s, 1]
                for k in range(0, columns, L):
                    transform_gradients(
                        transposed, at * columns + k, pitch * columns, columns, dy_coeffs,
                        (held * L + s) * columns + k,
                    )  # fmt: skip
            held += 1
            if held == batch:
                add_products(x_coeffs, dy_coeffs, batch * L, held * L, sums[i], grid.LANES)
                held = 0
    add_products(x_coeffs, dy_coeffs, batch * L, held * L, sums[i], grid.LANES)


@compiled_part
def add_products(
    x_coeffs: Any, dy_coeffs: Any, pace: int, tiles: int, sums: Any, LANES: Any
) -> None:
    """sums[p, c, k] += sum over tiles of x_coeffs * dy_coeffs, by tiles in registers.

    x_coeffs[p]: pace numbers for each channel; dy_coeffs[p]: K for each tile.
    """
    _, channels, columns = sums.shape
    for p in range(COEFFICIENTS):
        for c in range(0, channels, ROWS):
            for k in range(0, columns, len(LANES)):
                tile = zero_tile(x_coeffs, (None,), ROWS, LANES)
                at_x = p * x_coeffs.shape[1] + c * pace
                at_dy = p * dy_coeffs.shape[1] + k
                for s in range(tiles):
                    tile = outer_product_apart(
                        tile,
                        (None,),
                        x_coeffs,
                        at_x + s,
                        pace,
                        dy_coeffs,
                        at_dy + s * columns,
                        None,
                    )
                for i, value in enumerate(tile):
                    here = (p * channels + c + i) * columns + k
                    store(sums, here, add(value, load_as(value, sums, here)))


@compiled
def combine_sums(sums: Any, dweight: Any) -> None:
    """dweight (K, C, 3, 3) from the sums of all chunks, added in order."""
    for_each(dweight.shape[1], _combine_channel, sums, dweight)


@compiled_part
def _combine_channel(c: int, sums: Any, dweight: Any) -> None:
    K, columns = len(dweight), sums.shape[3]
    total = np.zeros((COEFFICIENTS, columns))
    rows = np.empty((SPAN, 3, columns))
    filters = np.empty((3, 3, columns))
    for i in range(len(sums)):
        for p in range(COEFFICIENTS):
            for k in range(columns):
                total[p, k] += sums[i, p, c, k]
    for j in range(SPAN):
        combine_filter(total[j * SPAN : (j + 1) * SPAN], rows[j])
    for s in range(3):
        combine_filter(rows[:, s], filters[:, s])
    for k in range(K):
        for r in range(3):
            for s in range(3):
                dweight[k, c, r, s] = filters[r, s, k]


@compiled_part
def combine_filter(m: Any, dg: Any) -> None:
    """dg = G^T m for all columns; m: (6, K), dg: (3, K)."""
    for k in range(m.shape[1]):
        sum_, difference = (m[1, k] + m[2, k]) / 3, (m[1, k] - m[2, k]) / 3
        half, two = m[3, k] * (4 / 15), m[4, k] * (1 / 15)
        dg[0, k] = m[0, k] + difference - 4 * half + two
        dg[1, k] = sum_ - 2 * half - 2 * two
        dg[2, k] = difference - half + 4 * two + m[5, k]
