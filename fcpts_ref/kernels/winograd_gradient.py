"""Weight gradient of 3 x 3 convolutions with 2.25 times fewer multiplications.

The gradient of a filter column g by two rows of dy over input rows d0 ... d3 costs six products;
with the parts of ``convolution_winograd`` it is four, summed over the whole batch before they
are put together:

    m0 = (d0 - d2) dy0                         dg0 = m0 + (m1 + m2) / 2
    m1 = (d1 + d2) (dy0 + dy1)                 dg1 = (m1 - m2) / 2
    m2 = (d2 - d1) (dy0 - dy1)                 dg2 = (m1 + m2) / 2 - m3
    m3 = (d1 - d3) dy1

Done along rows and along columns, a 4 x 4 square of the input and a 2 x 2 square of dy give 16
parts each, and 16 products for every pair of channels where the plain sum has 36.

Each part is then the product of two matrices, (channels, squares) and (squares, planes).  Lanes
are output planes (``channels_last``): no sum crosses lanes, no image is too narrow.  What works
on SQUARES squares at a time stays in the second-level cache, one part in the first-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange, types
from numba.extending import intrinsic

from .channels_last import turn_image
from .compilation import compiled, compiled_parallel
from .layout import ALIGNMENT
from .vectors import (
    REGISTERS,
    VECTOR_BYTES,
    _constant,
    _load,
    _store,
    add,
    load_as,
    outer_product,
    store,
    zero_tile,
)
from .winograd_tiles import _input_part

PARTS = 16
ROWS = 8 if REGISTERS >= 32 else 4  # input channels in a tile of sums
SQUARES = 64
GAP = ALIGNMENT  # elements between parts, else all of them would share one set of the cache


@compiled_parallel
def winograd_weight_gradient(
    dy: Any, x: Any, size: Any, shift: int, chunk: int, sums: Any, shape: Any, lane_shape: Any
) -> None:  # fmt: skip
    """sums[i, part, c, k] = sum over the squares of the images of chunk i: part of x * part of dy.

    size: height, width (even) and pitch of the images in dy; shift: elements from an output
    pixel back to the first input pixel of its filter; sums: (CHUNKS, PARTS, channels, planes),
    both rounded up: to ROWS, and to len(shape) vectors.

    Threads share the chunks, whose size does not depend on the threads.
    """
    images, height, width, pitch = len(dy), size[0], size[1], size[2]
    channels, planes = sums.shape[2:]
    for i in prange(len(sums)):
        turned_x = aligned_rows(shift + x.shape[2], channels, x)
        turned_dy = aligned_rows(dy.shape[2], planes, x)
        x_parts = aligned_rows(PARTS, SQUARES * channels + GAP, x)
        dy_parts = aligned_rows(PARTS, SQUARES * planes + GAP, x)
        turned_x[:shift] = 0
        sums[i] = 0
        squares = 0
        for n in range(i * chunk, min((i + 1) * chunk, images)):
            turn_image(x, n, turned_x, shift)
            turn_image(dy, n, turned_dy, 0)
            for p in range(0, height, 2):
                for q in range(0, width, 2):
                    if squares == SQUARES:
                        add_products(x_parts, dy_parts, squares, sums[i], shape, lane_shape)
                        squares = 0
                    at = p * pitch + q
                    split_square(turned_x, turned_dy, at, pitch, x_parts, dy_parts, squares)
                    squares += 1
        add_products(x_parts, dy_parts, squares, sums[i], shape, lane_shape)


@compiled
def aligned_rows(rows: int, columns: int, like: Any) -> Any:
    """An array of any content on a 64-byte boundary, in the dtype of another."""
    block = np.empty(rows * columns + ALIGNMENT, like.dtype)
    skew = -(block.ctypes.data // block.itemsize) % ALIGNMENT
    return block[skew : skew + rows * columns].reshape((rows, columns))


@compiled
def split_square(
    x: Any, dy: Any, at: int, pitch: int, x_parts: Any, dy_parts: Any, square: int
) -> None:  # fmt: skip
    """The parts of the square of x and of dy whose first pixel is row ``at``."""
    L = VECTOR_BYTES // x.itemsize
    row = x.shape[1]
    for c in range(0, row, L):
        store_input_parts(x, at * row + c, pitch * row, row, x_parts, square * row + c)
    row = dy.shape[1]
    for k in range(0, row, L):
        store_output_parts(dy, at * row + k, pitch * row, row, dy_parts, square * row + k)


@compiled
def add_products(
    x_parts: Any, dy_parts: Any, squares: int, sums: Any, shape: Any, lane_shape: Any
) -> None:
    """sums[part, c, k] += sum over squares of x_parts * dy_parts, by tiles in registers."""
    _, channels, planes = sums.shape
    L, width = len(lane_shape), len(shape)
    for part in range(PARTS):
        for c in range(0, channels, ROWS):
            for k in range(0, planes, width * L):
                tile = zero_tile(x_parts, shape, ROWS, lane_shape)
                at_x = part * x_parts.shape[1] + c
                at_dy = part * dy_parts.shape[1] + k
                for s in range(squares):
                    tile = outer_product(
                        tile, shape, x_parts, at_x + s * channels, dy_parts, at_dy + s * planes,
                        None,
                    )  # fmt: skip
                for i, value in enumerate(tile):
                    here = (part * channels + c + i // width) * planes + k + i % width * L
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


@intrinsic
def store_input_parts(
    typing: Any, x: Any, at: Any, down: Any, right: Any, parts: Any, at_parts: Any
) -> Any:
    """parts[4 i + j, at_parts :] = part i by rows, j by columns, of the 4 x 4 vectors at x[at]."""
    return _storing(_input_part, 4, x, parts)


@intrinsic
def store_output_parts(
    typing: Any, dy: Any, at: Any, down: Any, right: Any, parts: Any, at_parts: Any
) -> Any:
    """The same of the 2 x 2 vectors at dy[at]."""
    return _storing(_output_part, 2, dy, parts)


def _output_part(builder: Any, part: int, dy: list[Any]) -> Any:
    """Part of the rows dy0, dy1."""
    if part in (0, 3):
        return dy[part // 3]
    return (builder.fadd if part == 1 else builder.fsub)(dy[0], dy[1])


def _storing(part: Any, size: int, source: Any, parts: Any) -> Any:
    """Load size x size vectors, take parts by rows and then by columns, store the 16."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        columns = []
        for q in range(size):
            rows = []
            for p in range(size):
                down = builder.mul(args[2], _constant(p))
                right = builder.mul(args[3], _constant(q))
                at = builder.add(args[1], builder.add(down, right))
                rows.append(_load(context, builder, source, args[0], at))
            columns.append([part(builder, i, rows) for i in range(4)])
        array = context.make_array(parts)(context, builder, args[4])
        step = builder.extract_value(array.shape, 1)
        for i in range(4):
            for j in range(4):
                value = part(builder, j, [column[i] for column in columns])
                shift = builder.mul(step, _constant(4 * i + j))
                _store(context, builder, parts, args[4], builder.add(args[5], shift), value)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, types.intp, parts, types.intp), generate
