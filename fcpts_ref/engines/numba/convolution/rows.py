"""Row-packed masked convolution: the faster form of ``sparse`` for some layers.

A vector of an activation shifted by one column straddles two cache lines, which takes twice as
long to read.  So each image is first copied into rows that begin on a boundary, and is never
read shifted:

* correlation: the kept weights of each column of the filters are summed separately, and the sums of
  the outer columns are shifted in registers, with zeros at the ends of a row, before they are
  added;
* weight gradient: dy is read shifted, once for a tile of it, and meets the rows of x as they are.

Between the channels lies one row of zeros, as the filters are 3 x 3.  A row is a number of whole
vectors, or half a vector: then the rows of two images share one.  ``form`` is a
``row_plan.RowForm``.  ``kept`` lists the kept weights of each column and output channel (row
``column * K + k``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.activation import clamp
from fcpts_ref.engines.numba.pointwise.partial_sums import add_rows, flush, write_counts
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows
from fcpts_ref.engines.numba.simd.register_tiles import (
    broadcast_as,
    load_lanes,
    outer_product,
    zero_tile,
)
from fcpts_ref.engines.numba.simd.row_vectors import (
    add_tiles,
    dot_tile,
    load_row,
    load_rows,
    shift_rows,
    store_row,
)
from fcpts_ref.engines.numba.simd.vectors import add, store, sum_lanes
from fcpts_ref.engines.numba.tuning import FLOAT_SUM_VECTORS


@compiled
def masked_row_correlation(
    source: Any, target: Any, kept: Any, form: Any, epilogue: Any, sums: Any
) -> None:
    """As ``sparse.masked_correlation``; sums: of the target (see ``partial_sums``), or of none.

    Threads share the images.  A piece of the rows stays in the first-level cache while every
    output channel is made from it.
    """
    for_each(
        (len(source) + len(form.IMAGES) - 1) // len(form.IMAGES), _correlate_images,
        source, target, kept, form, epilogue, sums,
    )  # fmt: skip


@compiled_part
def _correlate_images(
    item: int, source: Any, target: Any, kept: Any, form: Any, epilogue: Any, sums: Any
) -> None:
    """Those images that share a vector."""
    images, K, target_plane = target.shape
    L, V, together = len(form.LANES), len(form.ROW_VECTORS), len(form.IMAGES)
    tile_rows = len(form.N_VECTORS) // V
    pieces = form.height // tile_rows
    full = FLOAT_SUM_VECTORS // len(form.N_VECTORS)  # tiles that are summed in float lanes
    n = item * together
    pair_offset = K * target_plane if n + together <= images else 0
    rows = pack_rows(source, n, form)
    here = min(together, images - n)  # images
    summed = K if len(sums) else 0
    lanes = aligned_rows(2 * summed, len(form.IMAGE_LANES), source)
    index, values, counts = kept.offsets, kept.values, kept.counts
    bias, residual, bounds = epilogue.bias, epilogue.residual, epilogue.bounds
    has_residual = epilogue.has_residual
    places = np.empty(together, np.int64)
    for piece in range(pieces):
        at = (1 + piece * tile_rows) * V * L
        for k in range(K):
            zero = zero_tile(rows, form.N_VECTORS, 1, form.LANES)
            left = add_column(zero, rows, at, index, values, counts, k, form.N_VECTORS)
            right = add_column(zero, rows, at, index, values, counts, 2 * K + k, form.N_VECTORS)
            tile = add_tiles(
                shift_rows(left, form.ROW_VECTORS, form.IMAGES, -1),
                shift_rows(right, form.ROW_VECTORS, form.IMAGES, 1),
            )
            tile = add_column(tile, rows, at, index, values, counts, K + k, form.N_VECTORS)
            at_target = (n * K + k) * target_plane + piece * tile_rows * form.pitch
            for i, value in enumerate(tile):
                at_row = at_target + i // V * form.pitch + i % V * L
                if has_residual:
                    more = load_row(residual, at_row, pair_offset, form.LANES, form.IMAGES)
                    value = add(value, more)
                value = add(value, broadcast_as(value, bias, k))
                low, high = broadcast_as(value, bounds, 0), broadcast_as(value, bounds, 1)
                store_row(target, at_row, pair_offset, clamp(value, low, high), form.IMAGES)
        for image in range(here):
            places[image] = (n + image) * K * target_plane + piece * tile_rows * form.pitch
        for k in range(summed):
            add_rows(
                target, places, here, k * target_plane, tile_rows, V, form.pitch, piece == 0, sums,
                n, k, lanes, form.IMAGE_LANES,
            )  # fmt: skip
        if summed and (piece + 1 == pieces or (piece + 1) % full == 0):
            flush(lanes, sums, n, form.IMAGE_LANES)
    if summed:
        write_counts(sums, n, here, here * form.height * V * len(form.IMAGE_LANES))


@compiled_part
def pack_rows(source: Any, n: int, form: Any) -> Any:
    """The rows of image n, or of it and the next: row p of channel c is row
    1 + c * (height + 1) + p, between rows of zeros."""
    images, channels, plane = source.shape
    L, V, height = len(form.LANES), len(form.ROW_VECTORS), form.height
    pair_offset = channels * plane if n + len(form.IMAGES) <= images else 0
    rows = aligned_rows(1 + channels * (height + 1), V * L, source)
    rows[0] = 0
    for c in range(channels):
        first = 1 + c * (height + 1)
        for p in range(height):
            at, at_source = (first + p) * V * L, (n * channels + c) * plane + p * form.pitch
            for v in range(V):
                vector = load_row(source, at_source + v * L, pair_offset, form.LANES, form.IMAGES)
                store(rows, at + v * L, vector)
        rows[first + height] = 0
    return rows


@compiled_part
def add_column(
    tile: Any, rows: Any, at: int, index: Any, values: Any, counts: Any, row: int, N_VECTORS: Any
) -> Any:
    """The tile plus the sum over the kept weights in one row of the list."""
    first = row * index.shape[1]
    for e in range(first, first + counts[row]):
        tile = outer_product(tile, N_VECTORS, values, e, rows, at + index.flat[e], None)
    return tile


@compiled
def masked_row_weight_gradient(
    dy: Any, x: Any, kept: Any, form: Any, chunk: int, partial: Any
) -> None:
    """As ``sparse.masked_weight_gradient``; chunk: images, a multiple of those that share a vector.

    A tile of dy stays in registers while all kept weights go by whose gradient it is part of; the
    lanes of each sum wait in the second-level cache.
    """
    for_each(len(partial), _gradient_of_chunk, dy, x, kept, form, chunk, partial)


@compiled_part
def _gradient_of_chunk(
    i: int, dy: Any, x: Any, kept: Any, form: Any, chunk: int, partial: Any
) -> None:
    images, K, dy_plane = dy.shape
    L, V, together = len(form.LANES), len(form.ROW_VECTORS), len(form.IMAGES)
    tile_rows = len(form.N_VECTORS) // V
    pieces = form.height // tile_rows
    index, counts = kept.offsets, kept.counts
    sums = aligned_rows(counts.sum(), L, x)
    sums[:] = 0
    for n in range(i * chunk, min((i + 1) * chunk, images), together):
        pair_offset = K * dy_plane if n + together <= images else 0
        rows = pack_rows(x, n, form)
        for piece in range(pieces):
            at, at_sum = (1 + piece * tile_rows) * V * L, 0
            for row in range(counts.size):
                column, k = row // K, row % K
                at_dy = (n * K + k) * dy_plane + piece * tile_rows * form.pitch + 1 - column
                tile = load_rows(
                    dy, at_dy, form.pitch, pair_offset, form.N_VECTORS, form.ROW_VECTORS,
                    form.LANES, form.IMAGES,
                )  # fmt: skip
                first = row * index.shape[1]
                for e in range(first, first + counts[row]):
                    value = load_lanes(sums, at_sum, form.LANES)
                    store(sums, at_sum, dot_tile(value, tile, rows, at + index.flat[e]))
                    at_sum += L
    write_sums(sums, counts, partial[i], form.LANES)


@compiled_part
def write_sums(sums: Any, counts: Any, partial: Any, LANES: Any) -> None:
    """partial[row, e] = the sum over the lanes."""
    at = np.int64(0)
    for row in range(counts.size):
        for e in range(counts[row]):
            partial[row, e] = sum_lanes(load_lanes(sums, at, LANES))
            at += len(LANES)
