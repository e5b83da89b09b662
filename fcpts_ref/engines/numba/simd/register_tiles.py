"""Register tiles: tuples of vectors that stay in registers while a loop runs.

Their vectors may be shorter than a register: LANES is the static size of a vector, N_VECTORS that
of a row of the tile.  ``outer_product`` and ``dot_products`` are the inner steps of the kernels.
Indices are as in ``vectors``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fcpts_ref.engines.numba.simd.emit import (
    constant,
    emit_address,
    emit_broadcast,
    emit_load,
    emit_multiply_add,
    emit_shuffle,
    emit_store,
    emit_transposed,
)
from fcpts_ref.engines.numba.simd.types import VectorType

Places = tuple[Any, ...]  # indices


@intrinsic
def load_as(typing: Any, vector: Any, array: Any, index: Any) -> Any:
    """The vector array[index], array[index + 1], ... with the lanes of the first argument."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_load(context, builder, array, args[1], args[2], vector.lanes)

    return vector(vector, array, types.intp), generate


@intrinsic
def broadcast_as(typing: Any, vector: Any, array: Any, index: Any) -> Any:
    """array[index] in every lane of a vector like the first argument."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = builder.load(emit_address(context, builder, array, args[1], args[2]))
        return emit_broadcast(builder, scalar, context.get_value_type(vector))

    return vector(vector, array, types.intp), generate


@intrinsic
def splat_as(typing: Any, vector: Any, scalar: Any) -> Any:
    """The scalar, rounded to the vector's dtype, in every lane of a vector like the first."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = context.cast(builder, args[1], scalar, vector.dtype)
        return emit_broadcast(builder, number, context.get_value_type(vector))

    return vector(vector, scalar), generate


@intrinsic(prefer_literal=True)
def zero_tile(typing: Any, array: Any, N_VECTORS: Any, rows: Any, LANES: Any) -> Any:
    """rows x len(N_VECTORS) vectors of zeros of the array's dtype; rows is a constant."""
    if not isinstance(rows, types.IntegerLiteral):
        return None
    vector = VectorType(array.dtype, LANES.count)
    tile = types.UniTuple(vector, rows.literal_value * N_VECTORS.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = ir.Constant(context.get_value_type(vector), None)
        return context.make_tuple(builder, tile, [zero] * tile.count)

    return tile(array, N_VECTORS, rows, LANES), generate


@intrinsic
def load_tile(typing: Any, array: Any, index: Any, N_TILE: Any, LANES: Any) -> Any:
    """len(N_TILE) vectors that follow each other from array[index] on."""
    vector = VectorType(array.dtype, LANES.count)
    tile = types.UniTuple(vector, N_TILE.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = [builder.add(args[1], constant(i * vector.lanes)) for i in range(tile.count)]
        values = [emit_load(context, builder, array, args[0], i, vector.lanes) for i in at]
        return context.make_tuple(builder, tile, values)

    return tile(array, types.intp, N_TILE, LANES), generate


@intrinsic
def load_lanes(typing: Any, array: Any, index: Any, LANES: Any) -> Any:
    """The vector array[index], array[index + 1], ... of len(LANES) lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_load(context, builder, array, args[0], args[1], LANES.count)

    return VectorType(array.dtype, LANES.count)(array, types.intp, LANES), generate


@intrinsic
def load_pairs(typing: Any, array: Any, index: Any, LANES: Any) -> Any:
    """Vectors of array[index], array[index + 2], ... and of array[index + 1], ..."""
    lanes = LANES.count
    result = types.UniTuple(VectorType(array.dtype, lanes), 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low = emit_load(context, builder, array, args[0], args[1], lanes)
        behind = builder.add(args[1], constant(lanes))
        high = emit_load(context, builder, array, args[0], behind, lanes)
        halves = [emit_shuffle(builder, low, high, list(range(b, 2 * lanes, 2))) for b in (0, 1)]
        return context.make_tuple(builder, result, halves)

    return result(array, types.intp, LANES), generate


@intrinsic
def zip_lanes(typing: Any, a: Any, b: Any) -> Any:
    """Vectors a0, b0, a1, b1, ...: the first half of the lanes, and the second."""
    result = types.UniTuple(a, 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        picks = [i // 2 + i % 2 * a.lanes for i in range(2 * a.lanes)]
        halves = [
            emit_shuffle(builder, args[0], args[1], picks[: a.lanes]),
            emit_shuffle(builder, args[0], args[1], picks[a.lanes :]),
        ]
        return context.make_tuple(builder, result, halves)

    return result(a, b), generate


@intrinsic
def take(typing: Any, numbers: Any, index: Any, N_VECTORS: Any) -> Any:
    """The tuple numbers[index], numbers[index + 1], ... of len(N_VECTORS) integers."""
    result = types.UniTuple(types.int64, N_VECTORS.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = [builder.add(args[1], constant(i)) for i in range(N_VECTORS.count)]
        loaded = [builder.load(emit_address(context, builder, numbers, args[0], i)) for i in at]
        values = [context.cast(builder, v, numbers.dtype, types.int64) for v in loaded]
        return context.make_tuple(builder, result, values)

    return result(numbers, types.intp, N_VECTORS), generate


@intrinsic
def outer_product(
    typing: Any, tile: Any, N_VECTORS: Any, w: Any, at_w: Any, x: Any, at_x: Any, step: Any
) -> Any:
    """tile[m, v] += w[at_w + m] * x[at_x + v * step :], for every row m and vector v.

    Each vector of x is loaded once and meets every row's weight.  step None: the vectors follow
    each other.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile, _, w, at_w, x, at_x, step = args
        rows = tuple(builder.add(at_w, constant(m)) for m in range(_rows(signature)))
        starts = _starts(builder, signature, at_x, step)
        operands = (signature.args[2], w, rows), (signature.args[4], x, starts)
        return _outer_product(context, builder, signature.return_type, tile, *operands)

    kind = step if isinstance(step, types.NoneType) else types.intp
    return tile(tile, N_VECTORS, w, types.intp, x, types.intp, kind), generate


@intrinsic
def outer_product_apart(
    typing: Any,
    tile: Any,
    N_VECTORS: Any,
    w: Any,
    at_w: Any,
    pace: Any,
    x: Any,
    at_x: Any,
    step: Any,
) -> Any:
    """The same with weights ``pace`` apart: tile[m, v] += w[at_w + m * pace] * ..."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile, _, w, at_w, pace, x, at_x, step = args
        paces = (builder.mul(pace, constant(m)) for m in range(_rows(signature)))
        rows = tuple(builder.add(at_w, shift) for shift in paces)
        starts = _starts(builder, signature, at_x, step)
        operands = (signature.args[2], w, rows), (signature.args[5], x, starts)
        return _outer_product(context, builder, signature.return_type, tile, *operands)

    kind = step if isinstance(step, types.NoneType) else types.intp
    return tile(tile, N_VECTORS, w, types.intp, types.intp, x, types.intp, kind), generate


@intrinsic
def outer_product_at(
    typing: Any, tile: Any, w: Any, at_w: Any, x: Any, starts: Any, shift: Any
) -> Any:
    """The same with vectors that begin anywhere: tile[m, v] += ... * x[starts[v] + shift :]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile, w, at_w, x, starts, shift = args
        M = signature.return_type.count // signature.args[4].count
        rows = tuple(builder.add(at_w, constant(m)) for m in range(M))
        at = tuple(builder.add(i, shift) for i in cgutils.unpack_tuple(builder, starts))
        operands = (signature.args[1], w, rows), (signature.args[3], x, at)
        return _outer_product(context, builder, signature.return_type, tile, *operands)

    return tile(tile, w, types.intp, x, starts, types.intp), generate


def _rows(signature: Any) -> int:
    """Rows of a tile, the first argument, with as many vectors as the second one."""
    return int(signature.args[0].count // signature.args[1].count)


def _starts(builder: Any, signature: Any, at_x: Any, step: Any) -> Places:
    """Where the vectors of x begin: ``step`` apart from at_x on."""
    kind, N_VECTORS, step_kind = signature.args[0], signature.args[1], signature.args[-1]
    shifts = [constant(v * kind.dtype.lanes) for v in range(N_VECTORS.count)]
    if not isinstance(step_kind, types.NoneType):
        shifts = [builder.mul(step, constant(v)) for v in range(N_VECTORS.count)]
    return tuple(builder.add(at_x, shift) for shift in shifts)


def _outer_product(
    context: Any,
    builder: Any,
    kind: Any,
    tile: Any,
    weights: tuple[Any, Any, Places],
    vectors: tuple[Any, Any, Places],
) -> Any:
    """tile[m, v] += w[rows[m]] * x[starts[v] :], of a type, an array and its places each."""
    (w_kind, w, rows), (x_kind, x, starts) = weights, vectors
    lanes, columns = kind.dtype.lanes, len(starts)
    sums = cgutils.unpack_tuple(builder, tile, kind.count)
    inputs = [emit_load(context, builder, x_kind, x, index, lanes) for index in starts]
    for m, row in enumerate(rows):
        scalar = builder.load(emit_address(context, builder, w_kind, w, row))
        weight = emit_broadcast(builder, scalar, context.get_value_type(kind.dtype))
        for v in range(columns):
            i = m * columns + v
            sums[i] = emit_multiply_add(builder, weight, inputs[v], sums[i])
    return context.make_tuple(builder, kind, sums)


@intrinsic
def transpose_rows(
    typing: Any, a: Any, at_a: Any, offsets: Any, first: Any, b: Any, at_b: Any, pace: Any
) -> Any:
    """b[at_b + j * pace + i] = a[at_a + offsets[first + i] + j], i and j up to a vector's lanes."""
    vector = VectorType(a.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = []
        for i in range(vector.lanes):
            place = builder.add(args[3], constant(i))
            shift = builder.load(emit_address(context, builder, offsets, args[2], place))
            shift = context.cast(builder, shift, offsets.dtype, types.intp)
            at = builder.add(args[1], shift)
            values.append(emit_load(context, builder, a, args[0], at))
        for j, value in enumerate(emit_transposed(builder, values)):
            at = builder.add(args[5], builder.mul(args[6], constant(j)))
            emit_store(context, builder, b, args[4], at, value)
        return context.get_dummy_value()

    index = types.intp
    return types.void(a, index, offsets, index, b, index, index), generate


@intrinsic
def dot_products(
    typing: Any, tile: Any, a: Any, at_a: Any, step: Any, b: Any, at_b: Any, offsets: Any
) -> Any:
    """tile[m, j] += a[at_a + m * step :] * b[at_b + offsets[j] :], lane by lane.

    The lanes of a tile's vectors are summed at the end, with ``sum_lanes``.
    """
    columns = offsets.count
    rows = tile.count // columns

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = cgutils.unpack_tuple(builder, args[0], tile.count)
        shifts = cgutils.unpack_tuple(builder, args[6], columns)
        at = [builder.add(args[5], shift) for shift in shifts]
        lanes = tile.dtype.lanes
        right = [emit_load(context, builder, b, args[4], index, lanes) for index in at]
        for m in range(rows):
            index = builder.add(args[2], builder.mul(args[3], constant(m)))
            left = emit_load(context, builder, a, args[1], index, lanes)
            for j in range(columns):
                i = m * columns + j
                sums[i] = emit_multiply_add(builder, left, right[j], sums[i])
        return context.make_tuple(builder, tile, sums)

    return tile(tile, a, types.intp, types.intp, b, types.intp, offsets), generate
