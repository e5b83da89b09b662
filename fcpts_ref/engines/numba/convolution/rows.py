"""Masked convolution over aligned rows: the quick form of ``sparse_convolution``.

A vector of an activation shifted by one column straddles two cache lines, which takes twice as
long to read.  So each image is first copied into rows that begin on a boundary, and is never
read shifted:

* correlation: the kept weights of each column of the filters are summed by themselves, and the
  sums of the outer columns are shifted in registers, zeros coming in at the ends of a row, before
  they are added;
* weight gradient: dy is read shifted, once for a tile of it, and meets the rows of x as they are.

Between the planes lies one row of zeros, as the filters are 3 x 3.  Rows are whole vectors, or half
a vector: then those of two images share one.  Four tuples (Length) are as long as a tile
has vectors (shape), a row has vectors, a vector has lanes, and as many images share a vector
(pair_shape).  The index lists the kept weights of each column and output plane (row
``column * planes + plane``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.activation import cut
from fcpts_ref.engines.numba.pointwise.moments import add_rows, flush, write_counts
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows
from fcpts_ref.engines.numba.simd.row_vectors import (
    add_tiles,
    dot_tile,
    load_row,
    load_rows,
    shift_rows,
    store_row,
)
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    broadcast_as,
    load_lanes,
    outer_product,
    store,
    sum_lanes,
    zero_tile,
)
from fcpts_ref.engines.numba.tuning import FLOAT_SUM_VECTORS


@compiled
def masked_row_correlation(
    source: Any, target: Any, index: Any, values: Any, kept: Any, bias: Any, height: int,
    pitch: int, shape: Any, row_shape: Any, lane_shape: Any, pair_shape: Any, own_shape: Any,
    accumulate: bool, side: Any, limits: Any, moments: Any,
) -> None:  # fmt: skip
    """As ``sparse_convolution.masked_correlation``; height: rows of an image, whole tiles;
    own_shape: of the lanes of one image; moments: of the target (see ``moments``), or of none.

    Threads share the images.  A piece of the rows stays in the first-level cache while every
    output plane is made from it.
    """
    for_each(
        (len(source) + len(pair_shape) - 1) // len(pair_shape), _correlate_images,
        source, target, index, values, kept, bias, height, pitch, shape, row_shape, lane_shape,
        pair_shape, own_shape, accumulate, side, limits, moments,
    )  # fmt: skip


@compiled_part
def _correlate_images(
    item: int, source: Any, target: Any, index: Any, values: Any, kept: Any, bias: Any,
    height: int, pitch: int, shape: Any, row_shape: Any, lane_shape: Any, pair_shape: Any,
    own_shape: Any, accumulate: bool, side: Any, limits: Any, moments: Any,
) -> None:  # fmt: skip
    """Those images that share a vector."""
    images, planes, target_plane = target.shape
    L, V, together = len(lane_shape), len(row_shape), len(pair_shape)
    tile_rows = len(shape) // V
    pieces = height // tile_rows
    full = FLOAT_SUM_VECTORS // len(shape)  # tiles whose moments are added in float lanes
    n = item * together
    apart = planes * target_plane if n + together <= images else 0
    rows = copy_rows(source, n, height, pitch, row_shape, lane_shape, pair_shape)
    here = min(together, images - n)  # images
    counted = planes if len(moments) else 0
    lanes = aligned_rows(2 * counted, len(own_shape), source)
    places = np.empty(together, np.int64)
    for piece in range(pieces):
        at = (1 + piece * tile_rows) * V * L
        for k in range(planes):
            zero = zero_tile(rows, shape, 1, lane_shape)
            left = add_column(zero, rows, at, index, values, kept, k, shape)
            right = add_column(zero, rows, at, index, values, kept, 2 * planes + k, shape)
            tile = add_tiles(
                shift_rows(left, row_shape, pair_shape, -1),
                shift_rows(right, row_shape, pair_shape, 1),
            )
            tile = add_column(tile, rows, at, index, values, kept, planes + k, shape)
            at_target = (n * planes + k) * target_plane + piece * tile_rows * pitch
            for i, value in enumerate(tile):
                at_row = at_target + i // V * pitch + i % V * L
                if accumulate:
                    value = add(value, load_row(side, at_row, apart, lane_shape, pair_shape))
                value = add(value, broadcast_as(value, bias, k))
                low, high = broadcast_as(value, limits, 0), broadcast_as(value, limits, 1)
                store_row(target, at_row, apart, cut(value, low, high), pair_shape)
        for image in range(here):
            places[image] = (n + image) * planes * target_plane + piece * tile_rows * pitch
        for k in range(counted):
            add_rows(
                target, places, here, k * target_plane, tile_rows, V, pitch, piece == 0, moments,
                n, k, lanes, own_shape,
            )  # fmt: skip
        if counted and (piece + 1 == pieces or (piece + 1) % full == 0):
            flush(lanes, moments, n, own_shape)
    if counted:
        write_counts(moments, n, here, here * height * V * len(own_shape))


@compiled_part
def copy_rows(
    source: Any, n: int, height: int, pitch: int, row_shape: Any, lane_shape: Any, pair_shape: Any
) -> Any:
    """The rows of image n, or of it and the next: row p of channel c is row
    1 + c * (height + 1) + p, between rows of zeros."""
    images, channels, plane = source.shape
    L, V = len(lane_shape), len(row_shape)
    apart = channels * plane if n + len(pair_shape) <= images else 0
    rows = aligned_rows(1 + channels * (height + 1), V * L, source)
    rows[0] = 0
    for c in range(channels):
        first = 1 + c * (height + 1)
        for p in range(height):
            at, at_source = (first + p) * V * L, (n * channels + c) * plane + p * pitch
            for v in range(V):
                vector = load_row(source, at_source + v * L, apart, lane_shape, pair_shape)
                store(rows, at + v * L, vector)
        rows[first + height] = 0
    return rows


@compiled_part
def add_column(
    tile: Any, rows: Any, at: int, index: Any, values: Any, kept: Any, row: int, shape: Any
) -> Any:
    """The tile plus the sum over the kept weights in one row of the index."""
    first = row * index.shape[1]
    for e in range(first, first + kept[row]):
        tile = outer_product(tile, shape, values, e, rows, at + index.flat[e], None)
    return tile


@compiled
def masked_row_weight_gradient(
    dy: Any, x: Any, index: Any, kept: Any, height: int, pitch: int, chunk: int, partial: Any,
    shape: Any, row_shape: Any, lane_shape: Any, pair_shape: Any,
) -> None:  # fmt: skip
    """As ``sparse_convolution.masked_weight_gradient``; chunk: images, a multiple of those that
    share a vector.

    A tile of dy stays in registers while all kept weights go by whose gradient it is part of; the
    lanes of each sum wait in the second-level cache.
    """
    for_each(
        len(partial), _gradient_of_chunk,
        dy, x, index, kept, height, pitch, chunk, partial, shape, row_shape, lane_shape,
        pair_shape,
    )  # fmt: skip


@compiled_part
def _gradient_of_chunk(
    i: int, dy: Any, x: Any, index: Any, kept: Any, height: int, pitch: int, chunk: int,
    partial: Any, shape: Any, row_shape: Any, lane_shape: Any, pair_shape: Any,
) -> None:  # fmt: skip
    images, planes, dy_plane = dy.shape
    L, V, together = len(lane_shape), len(row_shape), len(pair_shape)
    tile_rows = len(shape) // V
    pieces = height // tile_rows
    sums = aligned_rows(kept.sum(), L, x)
    sums[:] = 0
    for n in range(i * chunk, min((i + 1) * chunk, images), together):
        apart = planes * dy_plane if n + together <= images else 0
        rows = copy_rows(x, n, height, pitch, row_shape, lane_shape, pair_shape)
        for piece in range(pieces):
            at, at_sum = (1 + piece * tile_rows) * V * L, 0
            for row in range(kept.size):
                column, k = row // planes, row % planes
                at_dy = (n * planes + k) * dy_plane + piece * tile_rows * pitch + 1 - column
                tile = load_rows(dy, at_dy, pitch, apart, shape, row_shape, lane_shape, pair_shape)
                first = row * index.shape[1]
                for e in range(first, first + kept[row]):
                    value = load_lanes(sums, at_sum, lane_shape)
                    store(sums, at_sum, dot_tile(value, tile, rows, at + index.flat[e]))
                    at_sum += L
    write_sums(sums, kept, partial[i], lane_shape)


@compiled_part
def write_sums(sums: Any, kept: Any, partial: Any, lane_shape: Any) -> None:
    """partial[row, e] = the sum over the lanes."""
    at = np.int64(0)
    for row in range(kept.size):
        for e in range(kept[row]):
            partial[row, e] = sum_lanes(load_lanes(sums, at, lane_shape))
            at += len(lane_shape)
