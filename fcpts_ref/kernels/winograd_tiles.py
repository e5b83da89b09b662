"""The inner steps of ``convolution_winograd`` on tiles of registers: see there."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vectors import REGISTERS, _address, _broadcast, _constant, _load, _multiply_add

PARTS = 4
PAIR_ROWS = 3  # output planes in a tile: 3 planes x 2 vectors x 4 parts = 24 sums
PAIR_VECTORS = 2 if REGISTERS >= 32 else 1


def _input_part(builder: Any, part: int, d: list[Any]) -> Any:
    """Part of the input rows d0 ... d3."""
    first, second = ((0, 2), (1, 2), (2, 1), (1, 3))[part]
    combine = builder.fadd if part == 1 else builder.fsub
    return combine(d[first], d[second])


@intrinsic
def pair_products(
    typing: Any, tile: Any, w: Any, at_w: Any, x: Any, at_x: Any, pitch: Any, step: Any
) -> Any:
    """tile[j, m, v] += w[at_w + 3 j + m] * part j of the rows at x[at_x + v step :].

    Row r of vector v is x[at_x + v step + r pitch :].
    """
    vectors = tile.count // (PARTS * PAIR_ROWS)
    lanes = tile.dtype.lanes

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(tile.dtype)
        sums = cgutils.unpack_tuple(builder, args[0], tile.count)
        rows = []
        for v in range(vectors):
            first = builder.add(args[4], builder.mul(args[6], _constant(v)))
            at = [builder.add(first, builder.mul(args[5], _constant(r))) for r in range(4)]
            rows.append([_load(context, builder, x, args[3], index, lanes) for index in at])
        for j in (0, 3, 1, 2):  # rows 0 and 3 are wanted once: let go of them first
            parts = [_input_part(builder, j, d) for d in rows]
            for m in range(PAIR_ROWS):
                index = builder.add(args[2], _constant(j * PAIR_ROWS + m))
                scalar = builder.load(_address(context, builder, w, args[1], index))
                weight = _broadcast(builder, scalar, vector)
                for v in range(vectors):
                    i = (j * PAIR_ROWS + m) * vectors + v
                    sums[i] = _multiply_add(builder, weight, parts[v], sums[i])
        return context.make_tuple(builder, tile, sums)

    return tile(tile, w, types.intp, x, types.intp, types.intp, types.intp), generate


@intrinsic
def pair_rows(typing: Any, tile: Any) -> Any:
    """The output rows of a tile of products: [row, m, v], y0 = m0 + m1 + m2, y1 = m1 - m2 - m3."""
    size = tile.count // PARTS
    result = types.UniTuple(tile.dtype, 2 * size)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = cgutils.unpack_tuple(builder, args[0], tile.count)
        m = [sums[j * size : (j + 1) * size] for j in range(PARTS)]
        y0, y1 = [], []
        for i in range(size):
            y0.append(builder.fadd(m[0][i], builder.fadd(m[1][i], m[2][i])))
            y1.append(builder.fsub(builder.fsub(m[1][i], m[2][i]), m[3][i]))
        return context.make_tuple(builder, result, y0 + y1)

    return result(tile), generate
