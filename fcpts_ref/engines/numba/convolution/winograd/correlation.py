"""The correlation by Winograd's algorithm (see ``winograd``).

Each transformed coefficient is the product of two matrices, (K, C) and (C, tiles).  Lanes are
tiles.  The coefficients of a vector of tiles stay in the second-level cache; a row of them stays in
the first one while the products for all output channels are made, which are transformed back along
that row before they leave the registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.convolution.winograd.tiles import (
    COEFFICIENTS,
    SIZE,
    SPAN,
    STRIPS,
    invert_columns,
    invert_row,
    load_strips,
    multiply_row,
    store_strips,
    transform_inputs,
)
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.memory.layout import ALIGNMENT
from fcpts_ref.engines.numba.pointwise.activation import clamp
from fcpts_ref.engines.numba.pointwise.partial_sums import add_rows, flush, write_counts
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows
from fcpts_ref.engines.numba.simd.register_tiles import broadcast_as, zero_tile
from fcpts_ref.engines.numba.simd.types import static_size
from fcpts_ref.engines.numba.simd.vectors import add, itemsize, prefetch
from fcpts_ref.engines.numba.tuning import (
    FLOAT_SUM_VECTORS,
    WINOGRAD_BLOCK_ROWS,
    WINOGRAD_TILE_ROWS,
)

ROWS = WINOGRAD_TILE_ROWS
CACHE_LINE = 64  # bytes
ROW_VECTORS = static_size(SPAN)
GAP = ALIGNMENT  # elements between coefficients, else they would share a few sets of the cache


@compiled
def winograd_correlation(
    source: Any, target: Any, packed: Any, grid: Any, epilogue: Any, sums: Any
) -> None:
    """target = the correlation, as ``sparse.masked_correlation``.

    packed: see ``filters``; grid: see ``plan.Grid``; sums: of the target (see ``partial_sums``), or
    of none.

    Threads share the groups of images, or the vectors of tiles of a single group without sums.  For
    a vector of tiles: the coefficients of all input
    channels; then for WINOGRAD_BLOCK_ROWS output channels at a time their products with those of
    the filters, and the outputs.
    """
    groups = (len(source) + grid.group - 1) // grid.group
    shares = len(grid.strips) // STRIPS if groups == 1 and len(sums) == 0 else 1
    for_each(
        groups * shares, _correlate_group,
        shares, source, target, packed, grid, epilogue, sums,
    )  # fmt: skip


@compiled_part
def _correlate_group(
    item: int, shares: int, source: Any, target: Any, packed: Any, grid: Any, epilogue: Any,
    sums: Any,
) -> None:  # fmt: skip
    """Every ``shares``-th vector of tiles of a group."""
    strips, group, pitch, shift = grid.strips, grid.group, grid.pitch, grid.shift
    images, channels, plane = source.shape
    _, K, target_plane = target.shape
    L = len(grid.LANES)
    vectors = len(strips) // STRIPS
    full = FLOAT_SUM_VECTORS // (SIZE * STRIPS)  # vectors of tiles that are summed in float lanes
    source_share = group * plane // vectors  # elements of the next group for each of our channels
    target_share = group * K * target_plane // (vectors * channels)
    first = item // shares * group
    x_coeffs = aligned_rows(COEFFICIENTS, channels * L + GAP, source)
    y_rows = aligned_rows(WINOGRAD_BLOCK_ROWS, SPAN * SIZE * L, source)
    read, written = np.empty(STRIPS, np.int64), np.empty(STRIPS, np.int64)
    summed, values = K if len(sums) else 0, 0
    lanes = aligned_rows(2 * summed, len(grid.HALF_LANES), source)
    for v in range(item % shares, vectors, shares):
        count = 0  # of strips; the last group may lack some images
        for i in range(STRIPS):
            n, at = first + strips[v * STRIPS + i, 0], strips[v * STRIPS + i, 1]
            count += n < images
            n = min(n, images - 1)
            read[i] = n * channels * plane + at - shift
            written[i] = n * K * target_plane + at
        values += count * SIZE * L // 2
        for c in range(channels):
            turn = v * channels + c
            prefetch_share(source, (first + group) * channels * plane, turn, source_share)
            prefetch_share(target, (first + group) * K * target_plane, turn, target_share)
            transform_inputs(source, read, c * plane, pitch, x_coeffs, c * L)
        for begin in range(0, K, WINOGRAD_BLOCK_ROWS):
            end = min(begin + WINOGRAD_BLOCK_ROWS, K)
            multiply_coefficients(x_coeffs, packed, begin, end, y_rows, grid.LANES)
            for k in range(begin, end):
                write_tiles(
                    y_rows, k - begin, target, written, count, k * target_plane, pitch, k, epilogue
                )
        for k in range(summed):
            add_rows(
                target, written, count, k * target_plane, SIZE, 1, pitch, v == 0, sums, first,
                k, lanes, grid.HALF_LANES,
            )  # fmt: skip
        if summed and (v + 1 == vectors or (v + 1) % full == 0):
            flush(lanes, sums, first, grid.HALF_LANES)
    if summed:
        write_counts(sums, first, min(group, images - first), values)


@compiled_part
def prefetch_share(buffer: Any, start: int, turn: int, size: int) -> None:
    """Prefetch ``size`` elements from start + turn * size on, if there are any.

    While some images are computed, the next ones are fetched in small shares, for processors keep
    few requests at a time.  Tiles are read from short rows of many channels, a pattern that the
    hardware does not predict; but the channels of an image follow each other in memory.
    """
    first = start + turn * size
    for at in range(first, min(first + size, buffer.size), CACHE_LINE // itemsize(buffer)):
        prefetch(buffer, at)


@compiled_part
def multiply_coefficients(
    x_coeffs: Any, packed: Any, begin: int, end: int, y_rows: Any, LANES: Any
) -> None:
    """y_rows[k - begin] = the outputs of each row of coefficients of channel k."""
    channels, L, pace = packed.shape[2], len(LANES), x_coeffs.shape[1]
    for i in range(SPAN):
        for block in range(begin // ROWS, (end + ROWS - 1) // ROWS):
            tile = zero_tile(x_coeffs, ROW_VECTORS, ROWS, LANES)
            at = (block * SPAN + i) * channels * SPAN * ROWS
            for c in range(channels):
                tile = multiply_row(
                    tile, packed, at + c * SPAN * ROWS, x_coeffs, i * SPAN * pace + c * L, pace
                )
            at = ((block * ROWS - begin) * SPAN + i) * SIZE * L
            invert_row(tile, y_rows, at, y_rows.shape[1])


@compiled_part
def write_tiles(
    y_rows: Any, row: int, target: Any, places: Any, count: int, plane: int, pitch: int, k: int,
    epilogue: Any,
) -> None:  # fmt: skip
    """The first ``count`` strips of one output channel, finished as by ``dense.store_tile``."""
    y = invert_columns(y_rows, row * y_rows.shape[1])
    residual, bounds, has_residual = epilogue.residual, epilogue.bounds, epilogue.has_residual
    bias = broadcast_as(y[0], epilogue.bias, k)
    low, high = broadcast_as(y[0], bounds, 0), broadcast_as(y[0], bounds, 1)
    for i, value in enumerate(y):
        strip = 2 * i % STRIPS
        down = plane + 2 * i // STRIPS * pitch
        if has_residual:
            value = add(value, load_strips(value, residual, places, strip, down))
        store_strips(target, places, strip, down, clamp(add(value, bias), low, high), count)
