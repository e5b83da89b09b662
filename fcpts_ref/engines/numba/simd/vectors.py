"""Explicit vectors for Numba: what one instruction of the processor holds and does.

A compiler that vectorises loops by itself must prove that nothing overlaps, and may not
reorder a sum.  These primitives say which lanes are meant, so the kernels are quick without
``fastmath`` and add in a fixed order.  Two levels:

* ``load``, ``store``, ``broadcast``, ``splat``, ``add``, ``subtract``, ``multiply``,
  ``multiply_add``, ``keep`` and ``sum_lanes`` work on one vector;
* a *tile* is a tuple of vectors that stays in registers while a loop runs:
  ``zero_tile``, ``outer_product`` and ``dot_products`` are the inner steps of the kernels.

Indices are element numbers in a C-contiguous array of any shape, unchecked; they may be
negative or pass the end where the array has slack around it (``layout.allocate``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES

# A size that kernels are compiled for: a tuple of that length, whose items take no memory.
StaticSize = tuple[None, ...]


def static_size(size: int) -> StaticSize:
    """The size as kernels take it."""
    return (None,) * size


def lanes(dtype: Any) -> int:
    """Numbers of this dtype in one vector."""
    return VECTOR_BYTES // int(np.dtype(dtype).itemsize)


class VectorType(types.Type):
    """Numba type of one vector of float32 or float64, by default of a whole register."""

    def __init__(self, dtype: types.Float, lanes: int | None = None) -> None:
        self.dtype = dtype
        self.lanes = lanes or VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: VectorType) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


# ---- LLVM building blocks -----------------------------------------------------------------


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _load(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, lanes: int | None = None
) -> Any:
    vector = context.get_value_type(VectorType(array_type.dtype, lanes))
    address = _address(context, builder, array_type, array, index)
    value = builder.load(builder.bitcast(address, vector.as_pointer()))
    value.align = array_type.dtype.bitwidth // 8
    return value


def _store(context: Any, builder: Any, array_type: Any, array: Any, index: Any, value: Any) -> None:
    address = _address(context, builder, array_type, array, index)
    pointer = builder.bitcast(address, value.type.as_pointer())
    builder.store(value, pointer).align = array_type.dtype.bitwidth // 8


def _shuffle(builder: Any, a: Any, b: Any, picks: list[int]) -> Any:
    index = ir.Constant(ir.VectorType(ir.IntType(32), len(picks)), picks)
    return builder.shuffle_vector(a, b, index)


def _broadcast(builder: Any, scalar: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, first, undefined, [0] * vector.count)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = "f32" if isinstance(a.type.element, ir.FloatType) else "f64"
    signature = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fma.v{a.type.count}{kind}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [a, b, c])


def _constant(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


@intrinsic
def itemsize(typing: Any, array: Any) -> Any:
    """Bytes of an element, which the compiler knows, so that nothing is divided by it later."""
    size = array.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _constant(size)

    return types.intp(array), generate


# ---- one vector ---------------------------------------------------------------------------


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector array[index], array[index + 1], ..."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, array, *args)

    return VectorType(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """array[index], array[index + 1], ... = vector"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _store(context, builder, array, *args)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def broadcast(typing: Any, array: Any, index: Any) -> Any:
    """A vector with array[index] in every lane."""
    result = VectorType(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = builder.load(_address(context, builder, array, *args))
        return _broadcast(builder, scalar, context.get_value_type(result))

    return result(array, types.intp), generate


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """A vector with the scalar in every lane."""
    result = VectorType(scalar)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _broadcast(builder, args[0], context.get_value_type(result))

    return result(scalar), generate


@intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """a + b"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return a(a, b), generate


@intrinsic
def subtract(typing: Any, a: Any, b: Any) -> Any:
    """a - b"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(*args)

    return a(a, b), generate


@intrinsic
def multiply(typing: Any, a: Any, b: Any) -> Any:
    """a * b"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*args)

    return a(a, b), generate


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _multiply_add(builder, *args)

    return a(a, b, c), generate


@intrinsic
def keep(typing: Any, vector: Any, mask: Any, index: Any) -> Any:
    """The vector where mask[index + lane] is -1, zero where it is 0 (also instead of NaN).

    mask: integers as wide as the floats.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)
        address = _address(context, builder, mask, args[1], args[2])
        bits = builder.load(builder.bitcast(address, integers.as_pointer()))
        bits.align = vector.dtype.bitwidth // 8
        kept = builder.and_(builder.bitcast(args[0], integers), bits)
        return builder.bitcast(kept, args[0].type)

    return vector(vector, mask, types.intp), generate


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index], to be read or written soon."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(_address(context, builder, array, *args), cgutils.voidptr_t)
        integer = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, second_level, data = integer(0), integer(2), integer(1)
        builder.call(function, [pointer, read, second_level, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def sum_lanes(typing: Any, vector: Any) -> Any:
    """The sum over the lanes: the upper half is added to the lower one until one is left."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, width = args[0], vector.lanes
        while width > 1:
            width //= 2
            low = _shuffle(builder, value, value, list(range(width)))
            high = _shuffle(builder, value, value, list(range(width, 2 * width)))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return vector.dtype(vector), generate


# ---- tiles --------------------------------------------------------------------------------
# Vectors of a tile may be shorter than a register: LANES is the static size of a vector, N_VECTORS
# that of a row of the tile.


@intrinsic
def load_as(typing: Any, vector: Any, array: Any, index: Any) -> Any:
    """The vector array[index], array[index + 1], ... with the lanes of the first argument."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, array, args[1], args[2], vector.lanes)

    return vector(vector, array, types.intp), generate


@intrinsic
def broadcast_as(typing: Any, vector: Any, array: Any, index: Any) -> Any:
    """array[index] in every lane of a vector like the first argument."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = builder.load(_address(context, builder, array, args[1], args[2]))
        return _broadcast(builder, scalar, context.get_value_type(vector))

    return vector(vector, array, types.intp), generate


@intrinsic
def splat_as(typing: Any, vector: Any, scalar: Any) -> Any:
    """The scalar, rounded to the vector's dtype, in every lane of a vector like the first."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = context.cast(builder, args[1], scalar, vector.dtype)
        return _broadcast(builder, number, context.get_value_type(vector))

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
def load_lanes(typing: Any, array: Any, index: Any, LANES: Any) -> Any:
    """The vector array[index], array[index + 1], ... of len(LANES) lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(context, builder, array, args[0], args[1], LANES.count)

    return VectorType(array.dtype, LANES.count)(array, types.intp, LANES), generate


@intrinsic
def load_pairs(typing: Any, array: Any, index: Any, LANES: Any) -> Any:
    """Vectors of array[index], array[index + 2], ... and of array[index + 1], ..."""
    lanes = LANES.count
    result = types.UniTuple(VectorType(array.dtype, lanes), 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low = _load(context, builder, array, args[0], args[1], lanes)
        behind = builder.add(args[1], _constant(lanes))
        high = _load(context, builder, array, args[0], behind, lanes)
        halves = [_shuffle(builder, low, high, list(range(b, 2 * lanes, 2))) for b in (0, 1)]
        return context.make_tuple(builder, result, halves)

    return result(array, types.intp, LANES), generate


@intrinsic
def zip_lanes(typing: Any, a: Any, b: Any) -> Any:
    """Vectors a0, b0, a1, b1, ...: the first half of the lanes, and the second."""
    result = types.UniTuple(a, 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        picks = [i // 2 + i % 2 * a.lanes for i in range(2 * a.lanes)]
        halves = [
            _shuffle(builder, args[0], args[1], picks[: a.lanes]),
            _shuffle(builder, args[0], args[1], picks[a.lanes :]),
        ]
        return context.make_tuple(builder, result, halves)

    return result(a, b), generate


@intrinsic
def take(typing: Any, numbers: Any, index: Any, N_VECTORS: Any) -> Any:
    """The tuple numbers[index], numbers[index + 1], ... of len(N_VECTORS) integers."""
    result = types.UniTuple(types.int64, N_VECTORS.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = [builder.add(args[1], _constant(i)) for i in range(N_VECTORS.count)]
        loaded = [builder.load(_address(context, builder, numbers, args[0], i)) for i in at]
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
        rows = [builder.add(at_w, _constant(m)) for m in range(signature.return_type.count)]
        return _outer_product(context, builder, signature, tile, w, rows, x, at_x, step)

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
        count = signature.return_type.count
        rows = [builder.add(at_w, builder.mul(pace, _constant(m))) for m in range(count)]
        return _outer_product(context, builder, signature, tile, w, rows, x, at_x, step)

    kind = step if isinstance(step, types.NoneType) else types.intp
    return tile(tile, N_VECTORS, w, types.intp, types.intp, x, types.intp, kind), generate


def _outer_product(
    context: Any, builder: Any, signature: Any, tile: Any, w: Any, rows: list[Any], x: Any,
    at_x: Any, step: Any,
) -> Any:  # fmt: skip
    kind, N_VECTORS, w_kind = signature.args[:3]
    x_kind, step_kind = signature.args[-3], signature.args[-1]
    columns, vector = N_VECTORS.count, kind.dtype
    sums = cgutils.unpack_tuple(builder, tile, kind.count)
    inputs = []
    for v in range(columns):
        shift = _constant(v * vector.lanes)
        if not isinstance(step_kind, types.NoneType):
            shift = builder.mul(step, _constant(v))
        index = builder.add(at_x, shift)
        inputs.append(_load(context, builder, x_kind, x, index, vector.lanes))
    for m in range(kind.count // columns):
        scalar = builder.load(_address(context, builder, w_kind, w, rows[m]))
        weight = _broadcast(builder, scalar, context.get_value_type(vector))
        for v in range(columns):
            i = m * columns + v
            sums[i] = _multiply_add(builder, weight, inputs[v], sums[i])
    return context.make_tuple(builder, kind, sums)


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
        right = [_load(context, builder, b, args[4], index, lanes) for index in at]
        for m in range(rows):
            index = builder.add(args[2], builder.mul(args[3], _constant(m)))
            left = _load(context, builder, a, args[1], index, lanes)
            for j in range(columns):
                i = m * columns + j
                sums[i] = _multiply_add(builder, left, right[j], sums[i])
        return context.make_tuple(builder, tile, sums)

    return tile(tile, a, types.intp, types.intp, b, types.intp, offsets), generate
