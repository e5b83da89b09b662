"""3 x 3 convolution with a third fewer multiplications: Winograd's F(2, 3) over pairs of rows.

Two rows of output of a filter column (g0, g1, g2) over input rows d0 ... d3 cost six products,
y0 = d0 g0 + d1 g1 + d2 g2 and y1 = d1 g0 + d2 g1 + d3 g2.  Four are enough:

    m0 = (d0 - d2) g0                          y0 = m0 + m1 + m2
    m1 = (d1 + d2) (g0 + g1 + g2) / 2          y1 = m1 - m2 - m3
    m2 = (d2 - d1) (g0 - g1 + g2) / 2
    m3 = (d1 - d3) g2

The sums of filter rows ("parts" 0 ... 3) are made once per call, the differences of pixels as
they are loaded: processors add and multiply at the same time.  (S. Winograd 1980; A. Lavin and
S. Gray 2015, arXiv:1509.09308.)

The products of a row that cancel in exact arithmetic leave rounding errors: those of a sum over
the four rows of the pair, not of the three of one output row.  So an infinite pixel may give
NaN where the direct sum gives infinity; what is finite there is finite here.

Shapes and buffers as in ``convolution_dense``.  A vector covers lanes of one row; L is their
number here, the whole register or the width of a narrower image.
"""

from __future__ import annotations

from typing import Any

from numba import prange

from .activation import cut
from .compilation import compiled, compiled_parallel
from .convolution_dense import prefetch_image
from .vectors import add, broadcast_as, keep, load_as, store, zero_tile
from .winograd_tiles import (
    PAIR_ROWS,
    PAIR_VECTORS,
    PARTS,
    pair_products,
    pair_rows,
)

PAIR_TILE = PARTS * PAIR_ROWS * PAIR_VECTORS


@compiled
def pack_winograd_weights(weight: Any, positions: Any, packed: Any) -> None:
    """packed[block, column, j, row] = part j of a filter column.

    weight: flat; positions (PLANES, COLUMNS, 3): where g0, g1, g2 are; packed: (BLOCKS, COLUMNS,
    PARTS, PAIR_ROWS), zero in the rows beyond the last plane.
    """
    planes, columns, _ = positions.shape
    for k in range(planes):
        block, row = k // PAIR_ROWS, k % PAIR_ROWS
        for j in range(columns):
            g0 = weight[positions[k, j, 0]]
            g1 = weight[positions[k, j, 1]]
            g2 = weight[positions[k, j, 2]]
            packed[block, j, 0, row] = g0
            packed[block, j, 1, row] = 0.5 * (g0 + g1 + g2)
            packed[block, j, 2, row] = 0.5 * (g0 - g1 + g2)
            packed[block, j, 3, row] = g2


@compiled
def _store_pairs(
    rows: Any, target: Any, at: int, plane: int, pitch: int, pairs: int, bias: Any, k: int,
    planes: int, mask: Any, at_mask: int, accumulate: bool, side: Any, limits: Any,
) -> None:  # fmt: skip
    """Write output rows [row, m, v] of the first planes and pairs, as ``store_tile`` does."""
    for i, value in enumerate(rows):
        row, m, v = i // (PAIR_ROWS * PAIR_VECTORS), i // PAIR_VECTORS % PAIR_ROWS, i % PAIR_VECTORS
        if m < planes and v < pairs:
            here = at + m * plane + (2 * v + row) * pitch
            if accumulate:
                value = add(value, load_as(value, side, here))
            value = add(value, broadcast_as(value, bias, k + m))
            low, high = broadcast_as(value, limits, 0), broadcast_as(value, limits, 1)
            value = cut(value, low, high)
            store(target, here, keep(value, mask, at_mask))


@compiled_parallel
def winograd_correlation(
    source: Any, target: Any, weights: Any, offsets: Any, size: Any, bias: Any, mask: Any,
    lane_shape: Any, accumulate: bool, side: Any, limits: Any,
) -> None:  # fmt: skip
    """target (+)= the correlation, as ``dense_correlation``, by pairs of rows.

    weights: packed (BLOCKS, COLUMNS, PARTS, PAIR_ROWS); offsets (COLUMNS,): from an output
    pixel to input row d0 of the column; size: height (even), width, pitch; mask: -1 for the
    lanes of a row that are pixels.

    Threads share the (image, PAIR_VECTORS pairs of rows) items.  Their input rows stay in the
    first-level cache while all blocks of PAIR_ROWS output planes are made from them.
    """
    images, channels, plane = source.shape
    _, planes, target_plane = target.shape
    height, width, pitch = size
    pieces = (height // 2 + PAIR_VECTORS - 1) // PAIR_VECTORS
    for item in prange(images * pieces):
        n, pair = item // pieces, item % pieces * PAIR_VECTORS
        prefetch_image(source, n + 1, item % pieces, pieces)
        prefetch_image(target, n + 1, item % pieces, pieces)
        for q in range(0, width, len(lane_shape)):
            at = 2 * pair * pitch + q
            at_source = n * channels * plane + at
            for block in range(weights.shape[0]):
                k = block * PAIR_ROWS
                tile = zero_tile(source, (0,), PAIR_TILE, lane_shape)
                at_weight = block * offsets.size * PARTS * PAIR_ROWS
                for j in range(offsets.size):
                    tile = pair_products(
                        tile, weights, at_weight + j * PARTS * PAIR_ROWS,
                        source, at_source + offsets[j], pitch, 2 * pitch,
                    )  # fmt: skip
                _store_pairs(
                    pair_rows(tile), target, (n * planes + k) * target_plane + at, target_plane,
                    pitch, height // 2 - pair, bias, k, planes - k, mask, q, accumulate,
                    side, limits,
                )  # fmt: skip
