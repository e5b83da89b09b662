"""Convolution with all weights: kernels that keep a tile of sums in registers.

Shapes: source (N, C, PLANE), target (N, K, PLANE), tables as in ``taps.Taps``, ``tiling`` and
``epilogue`` as in ``tiling``.
"""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.activation import clamp
from fcpts_ref.engines.numba.simd.register_tiles import (
    broadcast_as,
    dot_products,
    load_as,
    outer_product,
    take,
    zero_tile,
)
from fcpts_ref.engines.numba.simd.vectors import add, apply_mask, store, sum_lanes
from fcpts_ref.engines.numba.tuning import TILE_ROWS


@compiled
def pack_weights(weight: Any, positions: Any, packed: Any) -> None:
    """packed[i] = weight[positions[i]], zero where positions[i] is -1; all flat."""
    for i in range(positions.size):
        packed[i] = weight[positions[i]] if positions[i] >= 0 else 0


@compiled_part
def pace_of(tiling: Any) -> int:
    """Elements from a vector to the next one."""
    return len(tiling.LANES) if tiling.step is None else tiling.step


@compiled_part
def store_tile(
    tile: Any, tiling: Any, target: Any, at: int, row: int, rows: int, first: int, epilogue: Any
) -> None:
    """Write the rows of a tile that exist, and its vectors; border lanes stay zero.

    What is written is clamp(value + bias (+ residual)), see ``tiling.Epilogue``.
    at: where its first vector goes; row: channel of its first row, of which ``rows`` are left;
    first: number of its first vector.
    """
    width, pace, plane, mask = len(tiling.N_VECTORS), pace_of(tiling), target.shape[2], tiling.mask
    bias, residual, bounds = epilogue.bias, epilogue.residual, epilogue.bounds
    vectors, has_residual = tiling.vectors - first, epilogue.has_residual
    for i, value in enumerate(tile):
        m, v = i // width, i % width
        if m < rows and v < vectors:
            here = at + m * plane + v * pace
            if has_residual:
                value = add(value, load_as(value, residual, here))
            value = add(value, broadcast_as(value, bias, row + m))
            low, high = broadcast_as(value, bounds, 0), broadcast_as(value, bounds, 1)
            value = clamp(value, low, high)
            store(target, here, apply_mask(value, mask, (first + v) * pace))


@compiled
def dense_correlation(
    source: Any, target: Any, weights: Any, offsets: Any, counts: Any, rows: int, tiling: Any,
    epilogue: Any,
) -> None:  # fmt: skip
    """target[n, g * rows + m] = sum over j of weights[g, m, j] * source shifted by offsets[g, j].

    weights: (G, BLOCKS, J, TILE_ROWS), packed.

    Threads share the (image, tile of vectors) pairs.  A piece of the source stays in the
    first-level cache while all blocks of TILE_ROWS output channels are made from it; the
    innermost loop goes over the taps, each one outer product of weights and vectors.
    """
    pieces = (tiling.vectors + len(tiling.N_VECTORS) - 1) // len(tiling.N_VECTORS)
    for_each(
        len(source) * pieces, _correlate_piece,
        pieces, source, target, weights, offsets, counts, rows, tiling, epilogue,
    )  # fmt: skip


@compiled_part
def _correlate_piece(
    item: int, pieces: int, source: Any, target: Any, weights: Any, offsets: Any, counts: Any,
    rows: int, tiling: Any, epilogue: Any,
) -> None:  # fmt: skip
    _, channels, plane = source.shape
    _, K, target_plane = target.shape
    groups, blocks, columns, _ = weights.shape
    pace, N_VECTORS = pace_of(tiling), tiling.N_VECTORS
    n, first = item // pieces, item % pieces * len(tiling.N_VECTORS)
    at_source = n * channels * plane + first * pace
    for g in range(groups):
        for block in range(blocks):
            tile = zero_tile(source, tiling.N_VECTORS, TILE_ROWS, tiling.LANES)
            at_weight = (g * blocks + block) * columns * TILE_ROWS
            for j in range(counts[g]):
                at = at_source + offsets[g, j]
                tile = outer_product(
                    tile, N_VECTORS, weights, at_weight + j * TILE_ROWS, source, at, tiling.step
                )
            row = g * rows + block * TILE_ROWS
            store_tile(
                tile, tiling, target, (n * K + row) * target_plane + first * pace,
                row, rows - block * TILE_ROWS, first, epilogue,
            )  # fmt: skip


@compiled
def dense_weight_gradient(
    dy: Any, x: Any, offsets: Any, counts: Any, rows: int, tiling: Any, chunk: int, dweight: Any
) -> None:
    """dweight[g, m, j] = sum over images and pixels of dy[n, g * rows + m] * x at offsets[g, j].

    dweight: (G, rows, J), rows >= TILE_ROWS; offsets padded to a multiple of N_VECTORS.
    dy is zero in the border lanes, so whatever x has there does not count.

    Threads share the blocks of TILE_ROWS output channels, the last one moved back to end with
    the last channel.  Within a chunk of images the sums of one (block, N_VECTORS columns) tile
    stay in registers; their lanes are summed at its end.
    """
    blocks = (rows + TILE_ROWS - 1) // TILE_ROWS
    dweight[:] = 0
    for_each(
        len(offsets) * blocks, _gradient_of_block,
        blocks, dy, x, offsets, counts, rows, tiling, chunk, dweight,
    )  # fmt: skip


@compiled_part
def _gradient_of_block(
    item: int, blocks: int, dy: Any, x: Any, offsets: Any, counts: Any, rows: int, tiling: Any,
    chunk: int, dweight: Any,
) -> None:  # fmt: skip
    images, K, dy_plane = dy.shape
    _, channels, plane = x.shape
    pace, width = pace_of(tiling), len(tiling.N_VECTORS)
    g, block = item // blocks, item % blocks
    m0 = min(block * TILE_ROWS, rows - TILE_ROWS)
    for start in range(0, images, chunk):
        for j0 in range(0, counts[g], width):
            shifts = take(offsets, g * offsets.shape[1] + j0, tiling.N_VECTORS)
            tile = zero_tile(x, tiling.N_VECTORS, TILE_ROWS, tiling.LANES)
            for n in range(start, min(start + chunk, images)):
                at_dy = (n * K + g * rows + m0) * dy_plane
                at_x = n * channels * plane
                for v in range(tiling.vectors):
                    tile = dot_products(
                        tile, dy, at_dy + v * pace, dy_plane, x, at_x + v * pace, shifts
                    )
            for i, value in enumerate(tile):
                m, j = m0 + i // width, j0 + i % width
                if m >= block * TILE_ROWS and j < counts[g]:
                    dweight[g, m, j] += sum_lanes(value)
