"""Weight gradient of 3 x 3 convolutions with 2.25 times fewer multiplications.

The gradient of a filter (g0, g1, g2) by outputs dy0, dy1 over inputs d0 ... d3 costs six
products; with four sums and differences it is four, each summed over the whole batch before they
are put together:

    m0 = (d0 - d2) dy0                         dg0 = m0 + (m1 + m2) / 2
    m1 = (d1 + d2) (dy0 + dy1)                 dg1 = (m1 - m2) / 2
    m2 = (d2 - d1) (dy0 - dy1)                 dg2 = (m1 + m2) / 2 - m3
    m3 = (d1 - d3) dy1

Along rows and along columns, a square of 4 x 4 inputs and its 2 x 2 outputs have 16 parts each.
Each part is the product of two matrices, (channels, squares) and (squares, planes).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from .channels_last import aligned_rows, turn_planes
from .compilation import compiled, compiled_parallel
from .convolution_dense import prefetch_image
from .layout import ALIGNMENT
from .vectors import REGISTERS, VECTOR_BYTES, add, load_as, outer_product, store, zero_tile
from .winograd_parts import PARTS, split_gradient, split_input

ROWS = 8 if REGISTERS >= 32 else 4  # channels in a tile of sums
SQUARES = 64  # worked on at a time
GAP = ALIGNMENT  # elements between parts, else all of them would share one set of the cache


@compiled_parallel
def winograd_weight_gradient(
    dy: Any, x: Any, corners: Any, pitch: int, shift: int, chunk: int, sums: Any, lane_shape: Any,
) -> None:  # fmt: skip
    """sums[i, part, c, k] = sum over the squares of the images of chunk i: part of x * part of dy.

    corners: the first pixel of each 2 x 2 square of dy; pitch: of dy and x; shift: elements from
    a pixel of dy back to the first pixel of x that meets it; sums: (CHUNKS, PARTS, channels,
    planes), both rounded up: to ROWS, and to whole vectors.

    Threads share the chunks, whose size does not depend on the threads.
    """
    channels, planes = sums.shape[2:]
    before = (shift + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT  # elements, the border above
    count = corners.size
    for i in prange(len(sums)):
        turned_x = aligned_rows(before + x.shape[2], channels, x)
        turned_dy = aligned_rows(dy.shape[2], planes, x)
        x_parts = aligned_rows(PARTS, SQUARES * channels + GAP, x)
        dy_parts = aligned_rows(PARTS, SQUARES * planes + GAP, x)
        sums[i] = 0
        squares = 0
        for n in range(i * chunk, min((i + 1) * chunk, len(dy))):
            turn_planes(x, n, -before, turned_x)
            turn_planes(dy, n, 0, turned_dy)
            for s in range(count):
                prefetch_image(x, n + 1, s, s + 1, count)
                prefetch_image(dy, n + 1, s, s + 1, count)
                if squares == SQUARES:
                    add_products(x_parts, dy_parts, squares, sums[i], lane_shape)
                    squares = 0
                at = corners[s]
                split_pixels(turned_x, at + before - shift, pitch, x_parts, squares)
                split_outputs(turned_dy, at, pitch, dy_parts, squares)
                squares += 1
        add_products(x_parts, dy_parts, squares, sums[i], lane_shape)


@compiled
def split_pixels(x: Any, at: int, pitch: int, parts: Any, square: int) -> None:
    """The parts of the 4 x 4 pixels of x from row ``at`` on, all channels."""
    row = x.shape[1]
    for c in range(0, row, VECTOR_BYTES // x.itemsize):
        split_input(x, at * row + c, pitch * row, row, parts, square * row + c)


@compiled
def split_outputs(dy: Any, at: int, pitch: int, parts: Any, square: int) -> None:
    """The parts of the 2 x 2 pixels of dy from row ``at`` on, all planes."""
    row = dy.shape[1]
    for k in range(0, row, VECTOR_BYTES // dy.itemsize):
        split_gradient(dy, at * row + k, pitch * row, row, parts, square * row + k)


@compiled
def add_products(x_parts: Any, dy_parts: Any, squares: int, sums: Any, lane_shape: Any) -> None:
    """sums[part, c, k] += sum over squares of x_parts * dy_parts, by tiles in registers."""
    _, channels, planes = sums.shape
    L = len(lane_shape)
    for part in range(PARTS):
        for c in range(0, channels, ROWS):
            for k in range(0, planes, L):
                tile = zero_tile(x_parts, (0,), ROWS, lane_shape)
                at_x = part * x_parts.shape[1] + c
                at_dy = part * dy_parts.shape[1] + k
                for s in range(squares):
                    tile = outer_product(
                        tile, (0,), x_parts, at_x + s * channels, dy_parts, at_dy + s * planes,
                        None,
                    )  # fmt: skip
                for i, value in enumerate(tile):
                    here = (part * channels + c + i) * planes + k
                    store(sums, here, add(value, load_as(value, sums, here)))


@compiled_parallel
def combine_parts(sums: Any, dweight: Any) -> None:
    """dweight (K, C, 3, 3) from the sums of all chunks, added in order."""
    K, C = dweight.shape[:2]
    for c in prange(C):
        total = np.zeros((PARTS, sums.shape[3]), sums.dtype)
        for i in range(len(sums)):
            for part in range(PARTS):
                for k in range(sums.shape[3]):
                    total[part, k] += sums[i, part, c, k]
        columns = np.empty((3, 4), sums.dtype)
        for k in range(K):
            for j in range(4):
                m = total[j, k], total[4 + j, k], total[8 + j, k], total[12 + j, k]
                columns[0, j], columns[1, j], columns[2, j] = _filter(m)
            for r in range(3):
                m = columns[r, 0], columns[r, 1], columns[r, 2], columns[r, 3]
                dweight[k, c, r, 0], dweight[k, c, r, 1], dweight[k, c, r, 2] = _filter(m)


@compiled
def _filter(m: Any) -> Any:
    """dg0, dg1, dg2 from m0 ... m3."""
    half = (m[1] + m[2]) * type(m[0])(0.5)
    return m[0] + half, (m[1] - m[2]) * type(m[0])(0.5), half - m[3]
