"""Weight gradient of 3 x 3 convolutions with 4 times fewer multiplications.

``winograd`` makes four outputs of a filter as y = A^T ((G g) * (B^T d)).  Turned round, the
gradient of the filter is

    dg = G^T ((A dy) * (B^T d)),

six products where the plain sum has twelve, each summed over the whole batch before G^T puts
them together.  Along rows and along columns, a square of 6 x 6 inputs and its 4 x 4 outputs have
36 parts each.

Each part is the product of two matrices, (channels, squares) and (squares, planes).  Lanes are
output planes there, so nothing is summed across lanes: the images of dy are turned round first
(``channels_last``); the parts of x come with squares as lanes and are taken one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.convolution.winograd.correlation import GAP, prefetch_share
from fcpts_ref.engines.numba.convolution.winograd.tiles import (
    PARTS,
    PIECES,
    SPAN,
    split_outputs,
    split_squares,
)
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows, turn_planes
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    load_as,
    outer_product_apart,
    store,
    zero_tile,
)
from fcpts_ref.engines.numba.tuning import WINOGRAD_GRADIENT_ROWS


@compiled
def winograd_weight_gradient(
    dy: Any, x: Any, pieces: Any, corners: Any, group: int, pitch: int, shift: int, chunk: int,
    batch: int, sums: Any, lane_shape: Any,
) -> None:  # fmt: skip
    """sums[i, part, c, k] = sum over the squares of the images of chunk i: part of x * part of dy.

    pieces, group, pitch, shift: as in ``winograd_correlation``, of dy; corners (squares, 2): the
    image within a group and the first pixel of the square in every lane; chunk: images, a
    multiple of the group; batch: vectors of squares that are multiplied at a time; sums:
    (CHUNKS, PARTS, channels, planes), both rounded up: to tile rows, and to whole vectors.

    Threads share the chunks, whose size does not depend on the threads.
    """
    for_each(
        len(sums), _gradient_of_chunk,
        dy, x, pieces, corners, group, pitch, shift, chunk, batch, sums, lane_shape,
    )  # fmt: skip


@compiled_part
def _gradient_of_chunk(
    i: int, dy: Any, x: Any, pieces: Any, corners: Any, group: int, pitch: int, shift: int,
    chunk: int, batch: int, sums: Any, lane_shape: Any,
) -> None:  # fmt: skip
    images, C, plane = x.shape
    channels, planes = sums.shape[2:]
    L = len(lane_shape)
    vectors, (_, K, run) = len(corners) // L, dy.shape
    x_share = group * plane // vectors  # elements of the next group for each channel
    dy_share = group * K * run // (vectors * C)
    turned = aligned_rows(group * run, planes, x)
    x_parts = aligned_rows(PARTS, channels * batch * L + GAP, x)
    dy_parts = aligned_rows(PARTS, batch * L * planes + GAP, x)
    places = np.empty(PIECES, np.int64)
    sums[i] = 0
    held = 0  # vectors
    for first in range(i * chunk, min((i + 1) * chunk, images), group):
        for n in range(first, first + group):
            here = turned[(n - first) * run : (n - first + 1) * run]
            if n < images:
                turn_planes(dy, n, 0, here)
            else:
                here[:] = 0
        for v in range(vectors):
            for j in range(PIECES):
                n = min(first + pieces[v * PIECES + j, 0], images - 1)
                places[j] = n * C * plane + pieces[v * PIECES + j, 1] - shift
            for c in range(C):
                turn = v * C + c
                prefetch_share(x, (first + group) * C * plane, turn, x_share)
                prefetch_share(dy, (first + group) * K * run, turn, dy_share)
                split_squares(x, places, c * plane, pitch, x_parts, (c * batch + held) * L)
            for s in range(L):
                at = corners[v * L + s, 0] * run + corners[v * L + s, 1]
                for k in range(0, planes, L):
                    split_outputs(
                        turned, at * planes + k, pitch * planes, planes, dy_parts,
                        (held * L + s) * planes + k,
                    )  # fmt: skip
            held += 1
            if held == batch:
                add_products(x_parts, dy_parts, batch * L, held * L, sums[i], lane_shape)
                held = 0
    add_products(x_parts, dy_parts, batch * L, held * L, sums[i], lane_shape)


@compiled_part
def add_products(
    x_parts: Any, dy_parts: Any, pace: int, squares: int, sums: Any, lane_shape: Any
) -> None:
    """sums[part, c, k] += sum over squares of x_parts * dy_parts, by tiles in registers.

    x_parts[part]: pace numbers for each channel; dy_parts[part]: planes for each square.
    """
    _, channels, planes = sums.shape
    for part in range(PARTS):
        for c in range(0, channels, WINOGRAD_GRADIENT_ROWS):
            for k in range(0, planes, len(lane_shape)):
                tile = zero_tile(x_parts, (None,), WINOGRAD_GRADIENT_ROWS, lane_shape)
                at_x = part * x_parts.shape[1] + c * pace
                at_dy = part * dy_parts.shape[1] + k
                for s in range(squares):
                    tile = outer_product_apart(
                        tile, (None,), x_parts, at_x + s, pace, dy_parts, at_dy + s * planes, None
                    )
                for i, value in enumerate(tile):
                    here = (part * channels + c + i) * planes + k
                    store(sums, here, add(value, load_as(value, sums, here)))


@compiled
def combine_parts(sums: Any, dweight: Any) -> None:
    """dweight (K, C, 3, 3) from the sums of all chunks, added in order."""
    for_each(dweight.shape[1], _combine_channel, sums, dweight)


@compiled_part
def _combine_channel(c: int, sums: Any, dweight: Any) -> None:
    K, planes = len(dweight), sums.shape[3]
    total = np.zeros((SPAN, SPAN, planes))
    rows = np.empty((SPAN, 3, planes))
    filters = np.empty((3, 3, planes))
    for i in range(len(sums)):
        for part in range(PARTS):
            for k in range(planes):
                total[part // SPAN, part % SPAN, k] += sums[i, part, c, k]
    for j in range(SPAN):
        combine_filter(total[j], rows[j])
    for s in range(3):
        combine_filter(rows[:, s], filters[:, s])
    for k in range(K):
        for r in range(3):
            for s in range(3):
                dweight[k, c, r, s] = filters[r, s, k]


@compiled_part
def combine_filter(m: Any, dg: Any) -> None:
    """dg = G^T m for all planes; m: (6, planes), dg: (3, planes)."""
    for k in range(m.shape[1]):
        sum_, difference = (m[1, k] + m[2, k]) / 3, (m[1, k] - m[2, k]) / 3
        half, two = m[3, k] * (4 / 15), m[4, k] * (1 / 15)
        dg[0, k] = m[0, k] + difference - 4 * half + two
        dg[1, k] = sum_ - 2 * half - 2 * two
        dg[2, k] = difference - half + 4 * two + m[5, k]
