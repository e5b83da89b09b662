"""Convolution with all weights: kernels that keep a tile of sums in registers.

Shapes: source (N, CHANNELS, PLANE), target (N, PLANES, PLANE), tables as in
``convolution_taps.Taps``.  ``vectors`` vectors cover the run of an image; they start ``step``
elements apart, or follow each other if step is None.  shape and lane_shape are tuples (Length) as
long as a tile is wide and as a vector has lanes.
"""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.activation import cut
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    broadcast_as,
    dot_products,
    keep,
    load_as,
    outer_product,
    store,
    sum_lanes,
    take,
    zero_tile,
)
from fcpts_ref.engines.numba.tuning import TILE_ROWS


@compiled
def pack_weights(weight: Any, places: Any, packed: Any) -> None:
    """packed[i] = weight[places[i]], zero where places[i] is -1; all flat."""
    for i in range(places.size):
        packed[i] = weight[places[i]] if places[i] >= 0 else 0


@compiled_part
def store_tile(
    tile: Any, shape: Any, step: int, target: Any, at: int, plane: int, bias: Any, row: int,
    rows: int, vectors: int, mask: Any, at_mask: int, accumulate: bool, side: Any, limits: Any,
) -> None:  # fmt: skip
    """Write the first rows and vectors of a tile; border lanes stay zero.

    What is written is cut(value + bias (+ side)), see ``activation``; side is the target
    itself or a buffer like it.
    """
    for i, value in enumerate(tile):
        m, v = i // len(shape), i % len(shape)
        if m < rows and v < vectors:
            here = at + m * plane + v * step
            if accumulate:
                value = add(value, load_as(value, side, here))
            value = add(value, broadcast_as(value, bias, row + m))
            low, high = broadcast_as(value, limits, 0), broadcast_as(value, limits, 1)
            value = cut(value, low, high)
            store(target, here, keep(value, mask, at_mask + v * step))


@compiled
def dense_correlation(
    source: Any, target: Any, weights: Any, offsets: Any, counts: Any, rows: int, bias: Any,
    vectors: int, step: Any, mask: Any, shape: Any, lane_shape: Any, accumulate: bool,
    side: Any, limits: Any,
) -> None:  # fmt: skip
    """target[n, g * rows + m] (+)= sum over j of weight[g, m, j] * source shifted by offsets[g, j].

    weights: (G, BLOCKS, J, TILE_ROWS), packed.

    Threads share the (image, piece of the run) pairs.  A piece of the source stays in the
    first-level cache while all blocks of TILE_ROWS output planes are made from it; the
    innermost loop goes over the taps, each one outer product of weights and vectors.
    """
    pieces = (vectors + len(shape) - 1) // len(shape)
    for_each(
        len(source) * pieces, _correlate_piece,
        pieces, source, target, weights, offsets, counts, rows, bias, vectors, step, mask, shape,
        lane_shape, accumulate, side, limits,
    )  # fmt: skip


@compiled_part
def _correlate_piece(
    item: int, pieces: int, source: Any, target: Any, weights: Any, offsets: Any, counts: Any,
    rows: int, bias: Any, vectors: int, step: Any, mask: Any, shape: Any, lane_shape: Any,
    accumulate: bool, side: Any, limits: Any,
) -> None:  # fmt: skip
    _, channels, plane = source.shape
    _, planes, target_plane = target.shape
    groups, blocks, columns, _ = weights.shape
    pace = len(lane_shape) if step is None else step
    n, first = item // pieces, item % pieces * len(shape)
    at_source = n * channels * plane + first * pace
    for g in range(groups):
        for block in range(blocks):
            tile = zero_tile(source, shape, TILE_ROWS, lane_shape)
            at_weight = (g * blocks + block) * columns * TILE_ROWS
            for j in range(counts[g]):
                at = at_source + offsets[g, j]
                tile = outer_product(
                    tile, shape, weights, at_weight + j * TILE_ROWS, source, at, step
                )
            row = g * rows + block * TILE_ROWS
            store_tile(
                tile, shape, pace, target, (n * planes + row) * target_plane + first * pace,
                target_plane, bias, row, rows - block * TILE_ROWS, vectors - first,
                mask, first * pace, accumulate, side, limits,
            )  # fmt: skip


@compiled
def dense_weight_gradient(
    dy: Any, x: Any, offsets: Any, counts: Any, rows: int, vectors: int, step: Any, chunk: int,
    dweight: Any, shape: Any, lane_shape: Any,
) -> None:  # fmt: skip
    """dweight[g, m, j] = sum over images and pixels of dy[n, g * rows + m] * x at offsets[g, j].

    dweight: (G, rows, J), rows >= TILE_ROWS; offsets padded to a multiple of len(shape).
    dy is zero in the border lanes, so whatever x has there does not count.

    Threads share the blocks of TILE_ROWS output planes, the last one moved back to end with
    the last plane.  Within a chunk of images the sums of one (block, len(shape) columns) tile
    stay in registers; their lanes are summed at its end.
    """
    blocks = (rows + TILE_ROWS - 1) // TILE_ROWS
    dweight[:] = 0
    for_each(
        len(offsets) * blocks, _gradient_of_block,
        blocks, dy, x, offsets, counts, rows, vectors, step, chunk, dweight, shape, lane_shape,
    )  # fmt: skip


@compiled_part
def _gradient_of_block(
    item: int, blocks: int, dy: Any, x: Any, offsets: Any, counts: Any, rows: int, vectors: int,
    step: Any, chunk: int, dweight: Any, shape: Any, lane_shape: Any,
) -> None:  # fmt: skip
    images, planes, dy_plane = dy.shape
    _, channels, plane = x.shape
    pace = len(lane_shape) if step is None else step
    width = len(shape)
    g, block = item // blocks, item % blocks
    m0 = min(block * TILE_ROWS, rows - TILE_ROWS)
    for start in range(0, images, chunk):
        for j0 in range(0, counts[g], width):
            shifts = take(offsets, g * offsets.shape[1] + j0, shape)
            tile = zero_tile(x, shape, TILE_ROWS, lane_shape)
            for n in range(start, min(start + chunk, images)):
                at_dy = (n * planes + g * rows + m0) * dy_plane
                at_x = n * channels * plane
                for v in range(vectors):
                    tile = dot_products(
                        tile, dy, at_dy + v * pace, dy_plane, x, at_x + v * pace, shifts
                    )
            for i, value in enumerate(tile):
                m, j = m0 + i // width, j0 + i % width
                if m >= block * TILE_ROWS and j < counts[g]:
                    dweight[g, m, j] += sum_lanes(value)
