"""3 x 3 convolution with 4 times fewer multiplications: Winograd's F(4 x 4, 3 x 3).

Multiplying polynomials costs one product per point at which both are known.  Four outputs of a
filter (g0, g1, g2) over inputs d0 ... d5 are four coefficients of such a product, turned round:
six points are enough where the plain sum has twelve products.  With the points 0, 1, -1, 1/2,
-2 and infinity

    y = A^T ((G g) * (B^T d)),

    A^T = 1  1  1   1   1  0    G =   1      0      0      B^T = 1 -3/2   -2  3/2   1   0
          0  1 -1 1/2  -2  0         1/3    1/3    1/3          0   -1  1/2  5/2   1   0
          0  1  1 1/4   4  0        -1/3    1/3   -1/3          0    1 -5/2  1/2   1   0
          0  1 -1 1/8  -8  1      -16/15  -8/15  -4/15          0   -2   -1    2   1   0
                                    1/15  -2/15   4/15          0  1/2   -1 -1/2   1   0
                                     0      0      1            0    1 -3/2   -2 3/2   1

Done along rows and along columns, a *square* of 6 x 6 inputs and the 3 x 3 filter turn into 36
*parts* each, and their 36 products into 4 x 4 outputs, where the plain sum has 144.  (S. Winograd
1980; A. Lavin and S. Gray 2015, arXiv:1509.09308.)  Points close to 1 in size keep the rounding
small (B. Barabasz et al. 2018, arXiv:1803.10986): in float32, of random numbers, the errors are
about three times those of the plain sum.

Each part is the product of two matrices, (planes, channels) and (channels, squares).  Lanes are
squares (``winograd_squares``).  The parts of a vector of them stay in the second-level cache; a row
of parts stays in the first one while the products for all planes are made, which are turned into
outputs along that row before they leave the registers.

The products of a square that cancel in exact arithmetic leave rounding errors.  So an infinite
pixel may give NaN where the direct sum gives infinity, or where it is not even seen, as far as
the other pixels of its square; what is finite there and has no infinite neighbour is finite here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.convolution.winograd.tiles import (
    PARTS,
    PIECES,
    SIZE,
    SPAN,
    join_row,
    join_squares,
    load_pieces,
    multiply_row,
    split_squares,
    store_pieces,
)
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.memory.layout import ALIGNMENT
from fcpts_ref.engines.numba.pointwise.activation import cut
from fcpts_ref.engines.numba.pointwise.moments import add_rows, flush, write_counts
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    broadcast_as,
    itemsize,
    prefetch,
    zero_tile,
)
from fcpts_ref.engines.numba.tuning import (
    FLOAT_SUM_VECTORS,
    WINOGRAD_BLOCK_ROWS,
    WINOGRAD_FILTER_CHANNELS,
    WINOGRAD_TILE_ROWS,
)

CACHE_LINE = 64  # bytes
ROW_SHAPE = (None,) * SPAN
GAP = ALIGNMENT  # elements between parts, else all of them would share a few sets of the cache


@compiled
def pack_parts(weight: Any, positions: Any, packed: Any) -> None:
    """packed[k // rows, i, c, j, k % rows] = part (i, j) of the filter from channel c to plane k.

    rows: WINOGRAD_TILE_ROWS.
    weight: flat; positions (K, CHANNELS, 3, 3): where its elements are; packed (BLOCKS, SPAN,
    CHANNELS, SPAN, WINOGRAD_TILE_ROWS).  The parts are worked out in float64 and rounded once.
    """
    for_each(len(positions), _pack_plane, weight, positions, packed)


@compiled_part
def _pack_plane(k: int, weight: Any, positions: Any, packed: Any) -> None:
    channels = positions.shape[1]
    filters, rows = (
        np.zeros((3, 3 * WINOGRAD_FILTER_CHANNELS)),
        np.empty((SPAN, 3 * WINOGRAD_FILTER_CHANNELS)),
    )
    columns, parts = (
        np.empty((3, SPAN * WINOGRAD_FILTER_CHANNELS)),
        np.empty((SPAN, SPAN * WINOGRAD_FILTER_CHANNELS)),
    )
    for first in range(0, channels, WINOGRAD_FILTER_CHANNELS):
        share = min(WINOGRAD_FILTER_CHANNELS, channels - first)
        for c in range(share):
            for r in range(3):
                for s in range(3):
                    filters[r, s * WINOGRAD_FILTER_CHANNELS + c] = weight[
                        positions[k, first + c, r, s]
                    ]
        filter_parts(filters, rows)
        for i in range(SPAN):
            for s in range(3):
                for c in range(WINOGRAD_FILTER_CHANNELS):
                    columns[s, i * WINOGRAD_FILTER_CHANNELS + c] = rows[
                        i, s * WINOGRAD_FILTER_CHANNELS + c
                    ]
        filter_parts(columns, parts)
        for i in range(SPAN):
            for c in range(share):
                for j in range(SPAN):
                    packed[k // WINOGRAD_TILE_ROWS, i, first + c, j, k % WINOGRAD_TILE_ROWS] = (
                        parts[j, i * WINOGRAD_FILTER_CHANNELS + c]
                    )


@compiled_part
def filter_parts(g: Any, parts: Any) -> None:
    """parts = G g for every column."""
    for i in range(g.shape[1]):
        g0, g1, g2 = g[0, i], g[1, i], g[2, i]
        sides, middle = (g0 + g2) * (1 / 3), g1 * (1 / 3)
        parts[0, i] = g0
        parts[1, i] = middle + sides
        parts[2, i] = middle - sides
        parts[3, i] = (4 * g0 + 2 * g1 + g2) * (-4 / 15)
        parts[4, i] = (g0 - 2 * g1 + 4 * g2) * (1 / 15)
        parts[5, i] = g2


@compiled
def winograd_correlation(
    source: Any, target: Any, packed: Any, pieces: Any, group: int, pitch: int, shift: int,
    bias: Any, lane_shape: Any, piece_shape: Any, accumulate: bool, side: Any, limits: Any,
    moments: Any,
) -> None:  # fmt: skip
    """target (+)= the correlation, as ``sparse_convolution.masked_correlation``.

    packed: see ``pack_parts``; pieces (vectors * PIECES, 2): the image within a group and the
    first element of every piece of the output; pitch: of source and target; shift: elements from
    an output pixel back to the first input pixel of its filter; moments: of the target (see
    ``moments``), or of none.

    Threads share the groups of images.  For a vector of squares: the input parts of all channels;
    for some planes at a time their products with those of the filters, and the outputs.
    """
    for_each(
        (len(source) + group - 1) // group, _correlate_group,
        source, target, packed, pieces, group, pitch, shift, bias, lane_shape, piece_shape,
        accumulate, side, limits, moments,
    )  # fmt: skip


@compiled_part
def _correlate_group(
    item: int, source: Any, target: Any, packed: Any, pieces: Any, group: int, pitch: int,
    shift: int, bias: Any, lane_shape: Any, piece_shape: Any, accumulate: bool, side: Any,
    limits: Any, moments: Any,
) -> None:  # fmt: skip
    images, channels, plane = source.shape
    _, planes, target_plane = target.shape
    L = len(lane_shape)
    vectors = len(pieces) // PIECES
    full = FLOAT_SUM_VECTORS // (
        SIZE * PIECES
    )  # vectors of squares whose moments are added in float lanes
    source_share = group * plane // vectors  # elements of the next group for each of our channels
    target_share = group * planes * target_plane // (vectors * channels)
    first = item * group
    x_parts = aligned_rows(PARTS, channels * L + GAP, source)
    y_rows = aligned_rows(WINOGRAD_BLOCK_ROWS, SPAN * SIZE * L, source)
    read, written = np.empty(PIECES, np.int64), np.empty(PIECES, np.int64)
    counted, values = planes if len(moments) else 0, 0
    lanes = aligned_rows(2 * counted, len(piece_shape), source)
    for v in range(vectors):
        count = 0  # of pieces; the last group may lack some images
        for i in range(PIECES):
            n, at = first + pieces[v * PIECES + i, 0], pieces[v * PIECES + i, 1]
            count += n < images
            n = min(n, images - 1)
            read[i] = n * channels * plane + at - shift
            written[i] = n * planes * target_plane + at
        values += count * SIZE * L // 2
        for c in range(channels):
            turn = v * channels + c
            prefetch_share(source, (first + group) * channels * plane, turn, source_share)
            prefetch_share(target, (first + group) * planes * target_plane, turn, target_share)
            split_squares(source, read, c * plane, pitch, x_parts, c * L)
        for begin in range(0, planes, WINOGRAD_BLOCK_ROWS):
            end = min(begin + WINOGRAD_BLOCK_ROWS, planes)
            multiply_parts(x_parts, packed, begin, end, y_rows, lane_shape)
            for k in range(begin, end):
                write_squares(
                    y_rows, k - begin, target, written, count, k * target_plane, pitch,
                    bias, k, accumulate, side, limits,
                )  # fmt: skip
        for k in range(counted):
            add_rows(
                target, written, count, k * target_plane, SIZE, 1, pitch, v == 0, moments, first,
                k, lanes, piece_shape,
            )  # fmt: skip
        if counted and (v + 1 == vectors or (v + 1) % full == 0):
            flush(lanes, moments, first, piece_shape)
    if counted:
        write_counts(moments, first, min(group, images - first), values)


@compiled_part
def prefetch_share(buffer: Any, start: int, turn: int, size: int) -> None:
    """Ask for ``size`` elements behind start + turn * size, if there are any.

    While work is on some images: the next ones, bit by bit, for processors keep few requests at a
    time.  Squares are read from short rows of many planes, which they do not foresee; but the
    planes of an image follow each other in memory.
    """
    first = start + turn * size
    for at in range(first, min(first + size, buffer.size), CACHE_LINE // itemsize(buffer)):
        prefetch(buffer, at)


@compiled_part
def multiply_parts(
    x_parts: Any, packed: Any, begin: int, end: int, y_rows: Any, lane_shape: Any
) -> None:
    """y_rows[k - begin] = the outputs of each row of parts of plane k."""
    channels, L, pace = packed.shape[2], len(lane_shape), x_parts.shape[1]
    for i in range(SPAN):
        for block in range(
            begin // WINOGRAD_TILE_ROWS, (end + WINOGRAD_TILE_ROWS - 1) // WINOGRAD_TILE_ROWS
        ):
            tile = zero_tile(x_parts, ROW_SHAPE, WINOGRAD_TILE_ROWS, lane_shape)
            at = (block * SPAN + i) * channels * SPAN * WINOGRAD_TILE_ROWS
            for c in range(channels):
                tile = multiply_row(
                    tile,
                    packed,
                    at + c * SPAN * WINOGRAD_TILE_ROWS,
                    x_parts,
                    i * SPAN * pace + c * L,
                    pace,
                )
            at = ((block * WINOGRAD_TILE_ROWS - begin) * SPAN + i) * SIZE * L
            join_row(tile, y_rows, at, y_rows.shape[1])


@compiled_part
def write_squares(
    y_rows: Any, row: int, target: Any, places: Any, count: int, plane: int, pitch: int,
    bias: Any, k: int, accumulate: bool, side: Any, limits: Any,
) -> None:  # fmt: skip
    """The first ``count`` pieces of one output plane, finished as ``store_tile`` does."""
    y = join_squares(y_rows, row * y_rows.shape[1])
    shift = broadcast_as(y[0], bias, k)
    low, high = broadcast_as(y[0], limits, 0), broadcast_as(y[0], limits, 1)
    for i, value in enumerate(y):
        piece = 2 * i % PIECES
        down = plane + 2 * i // PIECES * pitch
        if accumulate:
            value = add(value, load_pieces(value, side, places, piece, down))
        store_pieces(target, places, piece, down, cut(add(value, shift), low, high), count)
