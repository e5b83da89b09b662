"""One vector: the instructions of the processor as functions that kernels call.

A compiler that vectorises loops by itself must prove that nothing overlaps, and may not reorder a
sum.  These functions state which lanes are meant, so kernels are fast without ``fastmath`` and add
in a fixed order.

Indices are element numbers in a C-contiguous array of any shape, unchecked; they may be negative or
pass the end where the array has slack around it (``layout.allocate``).
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
    emit_store_first,
)
from fcpts_ref.engines.numba.simd.types import VectorType


@intrinsic
def itemsize(typing: Any, array: Any) -> Any:
    """Bytes of an element, which the compiler knows, so that nothing is divided by it later."""
    size = array.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return constant(size)

    return types.intp(array), generate


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """The vector array[index], array[index + 1], ..."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_load(context, builder, array, *args)

    return VectorType(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """array[index], array[index + 1], ... = vector"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit_store(context, builder, array, *args)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def store_first(typing: Any, array: Any, index: Any, vector: Any, count: Any) -> Any:
    """``store`` of the first ``count`` lanes alone: what follows them in memory stays as it is."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, at, value, wanted = args
        emit_store_first(context, builder, array, target, at, value, wanted)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), generate


@intrinsic
def broadcast(typing: Any, array: Any, index: Any) -> Any:
    """A vector with array[index] in every lane."""
    result = VectorType(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = builder.load(emit_address(context, builder, array, *args))
        return emit_broadcast(builder, scalar, context.get_value_type(result))

    return result(array, types.intp), generate


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """A vector with the scalar in every lane."""
    result = VectorType(scalar)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_broadcast(builder, args[0], context.get_value_type(result))

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
def divide(typing: Any, a: Any, b: Any) -> Any:
    """a / b"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fdiv(*args)

    return a(a, b), generate


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once"""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit_multiply_add(builder, *args)

    return a(a, b, c), generate


@intrinsic
def apply_mask(typing: Any, vector: Any, mask: Any, index: Any) -> Any:
    """The vector where mask[index + lane] is -1, zero where it is 0 (also instead of NaN).

    mask: integers as wide as the floats.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)
        address = emit_address(context, builder, mask, args[1], args[2])
        bits = builder.load(builder.bitcast(address, integers.as_pointer()))
        bits.align = vector.dtype.bitwidth // 8
        kept = builder.and_(builder.bitcast(args[0], integers), bits)
        return builder.bitcast(kept, args[0].type)

    return vector(vector, mask, types.intp), generate


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of array[index], to be read or written soon."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.bitcast(emit_address(context, builder, array, *args), cgutils.voidptr_t)
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
            low = emit_shuffle(builder, value, value, list(range(width)))
            high = emit_shuffle(builder, value, value, list(range(width, 2 * width)))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return vector.dtype(vector), generate
