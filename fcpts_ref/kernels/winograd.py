"""3 x 3 convolution with 2.25 times fewer multiplications: Winograd's F(2 x 2, 3 x 3).

Two outputs of a filter (g0, g1, g2) over inputs d0 ... d3 cost six products, y0 = d0 g0 + d1 g1 +
d2 g2 and y1 = d1 g0 + d2 g1 + d3 g2.  Four are enough:

    m0 = (d0 - d2) g0                          y0 = m0 + m1 + m2
    m1 = (d1 + d2) (g0 + g1 + g2) / 2          y1 = m1 - m2 - m3
    m2 = (d2 - d1) (g0 - g1 + g2) / 2
    m3 = (d1 - d3) g2

Done along rows and along columns, a *square* of 4 x 4 inputs and the 3 x 3 filter turn into 16
*parts* each, and their 16 products into 2 x 2 outputs, where the plain sum has 36 products.
(S. Winograd 1980; A. Lavin and S. Gray 2015, arXiv:1509.09308.)  The parts of the filters are
made once per call.

Each part is then the product of two matrices, (squares, channels) and (channels, planes).  Lanes
are channels or output planes (``channels_last``): no image is too narrow, nothing is summed
across lanes.  SQUARES squares are worked on at a time, whose parts stay in the cache.

The products of a square that cancel in exact arithmetic leave rounding errors.  So an infinite
pixel may give NaN where the direct sum gives infinity, or where it is not even seen, as far as
the other pixels of its square; what is finite there and has no infinite neighbour is finite here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from .activation import cut
from .channels_last import aligned_rows, turn_planes, turn_square
from .compilation import compiled, compiled_parallel
from .convolution_dense import prefetch_image
from .layout import ALIGNMENT
from .vectors import (
    REGISTERS,
    VECTOR_BYTES,
    add,
    broadcast,
    keep,
    load,
    outer_product_apart,
    store,
    zero_tile,
)
from .winograd_parts import PARTS, join_output, split_input

ROWS = 8 if REGISTERS >= 32 else 4  # squares in a tile of sums
SQUARES = 64
GAP = ALIGNMENT  # elements between parts, else all of them would share one set of the cache


@compiled_parallel
def pack_parts(weight: Any, positions: Any, packed: Any) -> None:
    """packed[part, c, k] = part of the filter from channel c to plane k.

    weight: flat; positions (PLANES, CHANNELS, 3, 3): where its elements are; packed (PARTS,
    >= CHANNELS, >= PLANES).
    """
    planes, channels = positions.shape[:2]
    for c in prange(channels):
        rows = np.empty((4, 3), packed.dtype)
        for k in range(planes):
            for s in range(3):
                g0 = weight[positions[k, c, 0, s]]
                g1 = weight[positions[k, c, 1, s]]
                g2 = weight[positions[k, c, 2, s]]
                rows[0, s], rows[1, s], rows[2, s], rows[3, s] = filter_parts(g0, g1, g2)
            for i in range(4):
                m = filter_parts(rows[i, 0], rows[i, 1], rows[i, 2])
                for j in range(4):
                    packed[4 * i + j, c, k] = m[j]


@compiled
def filter_parts(g0: Any, g1: Any, g2: Any) -> Any:
    """g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2"""
    half = type(g0)(0.5)
    return g0, half * (g0 + g1 + g2), half * (g0 - g1 + g2), g2


@compiled_parallel
def winograd_correlation(
    source: Any, target: Any, packed: Any, corners: Any, run: int, pitch: int, shift: int,
    bias: Any, mask: Any, lane_shape: Any, accumulate: bool, side: Any, limits: Any,
) -> None:  # fmt: skip
    """target (+)= the correlation, as ``convolution_dense.dense_correlation``.

    packed: (PARTS, channels, planes), both whole vectors; corners: the first pixel of each
    2 x 2 square of the output; run and pitch of the target; shift: elements from an output
    pixel back to the first input pixel of its filter.

    Threads share the images.  For SQUARES squares: the input parts; their products with those
    of all filters; the pixels of the outputs, lanes being planes, until the image is done.
    """
    channels, planes = packed.shape[1:]
    before = (shift + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT  # elements, the border above
    count = corners.size
    for n in prange(len(source)):
        turned = aligned_rows(before + source.shape[2], channels, source)
        outputs = aligned_rows(target.shape[2] + ALIGNMENT, planes, source)
        x_parts = aligned_rows(PARTS, SQUARES * channels + GAP, source)
        y_parts = aligned_rows(PARTS, SQUARES * planes + GAP, source)
        turn_planes(source, n, -before, turned)
        for first in range(0, count, SQUARES):
            squares = min(SQUARES, count - first)
            prefetch_image(source, n + 1, first, first + squares, count)
            prefetch_image(target, n + 1, first, first + squares, count)
            for s in range(squares):
                split_pixels(turned, corners[first + s] + before - shift, pitch, x_parts, s)
            multiply_parts(x_parts, packed, squares, y_parts, lane_shape)
            for s in range(squares):
                join_pixels(y_parts, s, outputs, corners[first + s], pitch)
        write_planes(
            outputs, n, run, target, bias, mask, accumulate, side, limits
        )  # fmt: skip


@compiled
def split_pixels(pixels: Any, at: int, pitch: int, parts: Any, square: int) -> None:
    """The parts of the 4 x 4 pixels from row ``at`` on, all channels."""
    row = pixels.shape[1]
    for c in range(0, row, VECTOR_BYTES // pixels.itemsize):
        split_input(pixels, at * row + c, pitch * row, row, parts, square * row + c)


@compiled
def join_pixels(parts: Any, square: int, pixels: Any, at: int, pitch: int) -> None:
    """The 2 x 2 pixels from row ``at`` on, all planes."""
    row = pixels.shape[1]
    for k in range(0, row, VECTOR_BYTES // pixels.itemsize):
        join_output(parts, square * row + k, pixels, at * row + k, pitch * row, row)


@compiled
def multiply_parts(x_parts: Any, packed: Any, squares: int, y_parts: Any, lane_shape: Any) -> None:
    """y_parts[part, s, k] = sum over c of x_parts[part, s, c] * packed[part, c, k]."""
    _, channels, planes = packed.shape
    L = len(lane_shape)
    for part in range(PARTS):
        for k in range(0, planes, L):
            for s in range(0, squares, ROWS):
                tile = zero_tile(x_parts, (0,), ROWS, lane_shape)
                at_x = part * x_parts.shape[1] + s * channels
                at = part * channels * planes + k
                for c in range(channels):
                    tile = outer_product_apart(
                        tile, (0,), x_parts, at_x + c, channels, packed, at + c * planes, None
                    )
                at = part * y_parts.shape[1] + s * planes + k
                for i, value in enumerate(tile):
                    store(y_parts, at + i * planes, value)


@compiled
def write_planes(
    pixels: Any, n: int, run: int, target: Any, bias: Any, mask: Any, accumulate: bool,
    side: Any, limits: Any,
) -> None:  # fmt: skip
    """Image n of the target from its pixels (run, planes), finished as ``store_tile`` does."""
    _, planes, plane = target.shape
    row, L = pixels.shape[1], VECTOR_BYTES // pixels.itemsize
    square = aligned_rows(L, L, pixels)
    low, high = broadcast(limits, 0), broadcast(limits, 1)
    for k in range(0, planes, L):
        for p in range(0, run, L):
            turn_square(pixels, p * row + k, row, L, square, 0, L)
            for i in range(min(L, planes - k)):
                at = (n * planes + k + i) * plane + p
                value = load(square, i * L)
                if accumulate:
                    value = add(value, load(side, at))
                value = cut(add(value, broadcast(bias, k + i)), low, high)
                store(target, at, keep(value, mask, p))
