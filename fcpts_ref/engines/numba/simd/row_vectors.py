"""Vectors that are rows of an image, or of two side by side (see ``convolution.rows``).

Static sizes: IMAGES that share a vector, one or two; ROW_VECTORS of a row.  ``pair_offset``:
elements from a row of the first image to that of the second, 0 if there is no second one, whose
lanes are zero then.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fcpts_ref.engines.numba.simd.emit import (
    constant,
    emit_load,
    emit_multiply_add,
    emit_shuffle,
    emit_store,
)
from fcpts_ref.engines.numba.simd.types import VectorType


@intrinsic
def load_row(typing: Any, array: Any, index: Any, pair_offset: Any, LANES: Any, IMAGES: Any) -> Any:
    """The vector array[index], ..., or half of it and the same half of the second image's row."""
    vector = VectorType(array.dtype, LANES.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load_row(context, builder, array, args[0], args[1], args[2], vector, IMAGES)

    return vector(array, types.intp, types.intp, LANES, IMAGES), generate


@intrinsic
def load_rows(
    typing: Any, array: Any, index: Any, pitch: Any, pair_offset: Any, N_VECTORS: Any,
    ROW_VECTORS: Any, LANES: Any, IMAGES: Any,
) -> Any:  # fmt: skip
    """A tile of len(N_VECTORS) vectors: rows that lie ``pitch`` apart."""
    vector = VectorType(array.dtype, LANES.count)
    tile = types.UniTuple(vector, N_VECTORS.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = []
        for i in range(N_VECTORS.count):
            down = builder.mul(args[2], constant(i // ROW_VECTORS.count))
            at = builder.add(args[1], constant(i % ROW_VECTORS.count * vector.lanes))
            at = builder.add(at, down)
            values.append(_load_row(context, builder, array, args[0], at, args[3], vector, IMAGES))
        return context.make_tuple(builder, tile, values)

    sizes = N_VECTORS, ROW_VECTORS, LANES, IMAGES
    return tile(array, types.intp, types.intp, types.intp, *sizes), generate


@intrinsic
def store_row(
    typing: Any, array: Any, index: Any, pair_offset: Any, vector: Any, IMAGES: Any
) -> Any:
    """The way back."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, at, pair_offset_, value = args[:4]
        if IMAGES.count == 1:
            emit_store(context, builder, array, target, at, value)
            return context.get_dummy_value()
        half = vector.lanes // 2
        low = emit_shuffle(builder, value, value, list(range(half)))
        emit_store(context, builder, array, target, at, low)
        with builder.if_then(_is_there(builder, pair_offset_), likely=True):
            high = emit_shuffle(builder, value, value, list(range(half, vector.lanes)))
            emit_store(context, builder, array, target, builder.add(at, pair_offset_), high)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vector, IMAGES), generate


@intrinsic(prefer_literal=True)
def shift_rows(typing: Any, tile: Any, ROW_VECTORS: Any, IMAGES: Any, by: Any) -> Any:
    """Every pixel becomes the one ``by`` columns to its right; by is a constant, 1 or -1."""
    if not isinstance(by, types.IntegerLiteral):
        return None
    step, width, lanes = by.literal_value, ROW_VECTORS.count, tile.dtype.lanes

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = cgutils.unpack_tuple(builder, args[0], tile.count)
        zero = ir.Constant(values[0].type, None)
        shifted = []
        for i, value in enumerate(values):
            neighbour = values[i + step] if 0 <= i % width + step < width else zero
            picks = _shifted_lanes(lanes, lanes // IMAGES.count, step)
            shifted.append(emit_shuffle(builder, value, neighbour, picks))
        return context.make_tuple(builder, tile, shifted)

    return tile(tile, ROW_VECTORS, IMAGES, by), generate


@intrinsic
def add_tiles(typing: Any, a: Any, b: Any) -> Any:
    """a + b, vector by vector."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(*(cgutils.unpack_tuple(builder, tile, a.count) for tile in args), strict=True)
        return context.make_tuple(builder, a, [builder.fadd(*pair) for pair in pairs])

    return a(a, b), generate


@intrinsic
def dot_tile(typing: Any, value: Any, tile: Any, array: Any, index: Any) -> Any:
    """value + the sum of the tile's vectors times those that follow each other in the array.

    Lane by lane, every other product in a sum of its own.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        even, odd = args[0], ir.Constant(args[0].type, None)
        for i, left in enumerate(cgutils.unpack_tuple(builder, args[1], tile.count)):
            at = builder.add(args[3], constant(i * value.lanes))
            right = emit_load(context, builder, array, args[2], at, value.lanes)
            even, odd = odd, emit_multiply_add(builder, left, right, even)
        return builder.fadd(even, odd)

    return value(value, tile, array, types.intp), generate


def _load_row(
    context: Any, builder: Any, kind: Any, array: Any, at: Any, pair_offset: Any, vector: Any,
    IMAGES: Any,
) -> Any:  # fmt: skip
    if IMAGES.count == 1:
        return emit_load(context, builder, kind, array, at, vector.lanes)
    low = emit_load(context, builder, kind, array, at, vector.lanes // 2)
    high = emit_load(context, builder, kind, array, builder.add(at, pair_offset), vector.lanes // 2)
    zero = ir.Constant(high.type, None)
    high = builder.select(_is_there(builder, pair_offset), high, zero)
    return emit_shuffle(builder, low, high, list(range(vector.lanes)))


def _is_there(builder: Any, pair_offset: Any) -> Any:
    return builder.icmp_signed("!=", pair_offset, constant(0))


def _shifted_lanes(lanes: int, row: int, step: int) -> list[int]:
    """Which lane of (a vector, its neighbour) comes to each lane, rows of ``row`` lanes."""
    picks = []
    for lane in range(lanes):
        inside = 0 <= lane % row + step < row
        picks.append(lane + step if inside else lanes + (lane + step) % lanes)
    return picks
