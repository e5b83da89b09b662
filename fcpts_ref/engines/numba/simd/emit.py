"""LLVM instructions on vectors, from which the intrinsics are built.

context, builder: as Numba gives them to an intrinsic; array_type: Numba's type of the array.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from fcpts_ref.engines.numba.simd.types import VectorType


def emit_address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """A pointer to array[index]."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def emit_load(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, lanes: int | None = None
) -> Any:
    """The vector array[index], array[index + 1], ..., by default of a whole register."""
    vector = context.get_value_type(VectorType(array_type.dtype, lanes))
    address = emit_address(context, builder, array_type, array, index)
    value = builder.load(builder.bitcast(address, vector.as_pointer()))
    value.align = array_type.dtype.bitwidth // 8
    return value


def emit_store(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, value: Any
) -> None:
    """array[index], array[index + 1], ... = value"""
    address = emit_address(context, builder, array_type, array, index)
    pointer = builder.bitcast(address, value.type.as_pointer())
    builder.store(value, pointer).align = array_type.dtype.bitwidth // 8


def emit_store_first(
    context: Any, builder: Any, array_type: Any, array: Any, index: Any, value: Any, count: Any
) -> None:
    """``emit_store`` of the first ``count`` lanes alone."""
    address = emit_address(context, builder, array_type, array, index)
    pointer = builder.bitcast(address, value.type.as_pointer())
    mask = emit_first(builder, value.type.count, count)
    kind = "f32" if array_type.dtype.bitwidth == 32 else "f64"
    integer = ir.IntType(32)
    signature = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, integer, mask.type])
    name = f"llvm.masked.store.v{value.type.count}{kind}.p0"
    function = cgutils.get_or_insert_function(builder.module, signature, name)
    builder.call(function, [value, pointer, integer(array_type.dtype.bitwidth // 8), mask])


def emit_first(builder: Any, lanes: int, count: Any) -> Any:
    """A bit for each lane: whether its number is below ``count``, an integer of 64 bits."""
    kind = ir.VectorType(ir.IntType(32), lanes)
    small = builder.trunc(
        builder.select(  # so that it fits into 32 bits
            builder.icmp_signed("<", count, constant(lanes)), count, constant(lanes)
        ),
        ir.IntType(32),
    )
    numbers = ir.Constant(kind, list(range(lanes)))
    return builder.icmp_signed("<", numbers, emit_broadcast(builder, small, kind))


def emit_shuffle(builder: Any, a: Any, b: Any, picks: list[int]) -> Any:
    """The lanes ``picks`` of a followed by b."""
    index = ir.Constant(ir.VectorType(ir.IntType(32), len(picks)), picks)
    return builder.shuffle_vector(a, b, index)


def emit_transposed(builder: Any, values: list[Any]) -> list[Any]:
    """Rows to columns: zip the first half of the vectors with the second, log2(lanes) times."""
    lanes = len(values)
    picks = [i // 2 + i % 2 * lanes for i in range(2 * lanes)]
    size = 1
    while size < lanes:
        zipped = []
        for a, b in zip(values[: lanes // 2], values[lanes // 2 :], strict=True):
            zipped.append(emit_shuffle(builder, a, b, picks[:lanes]))
            zipped.append(emit_shuffle(builder, a, b, picks[lanes:]))
        values, size = zipped, 2 * size
    return values


def emit_broadcast(builder: Any, scalar: Any, vector: Any) -> Any:
    """The scalar in every lane of a vector of this LLVM type."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return emit_shuffle(builder, first, undefined, [0] * vector.count)


def emit_multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once"""
    kind = "f32" if isinstance(a.type.element, ir.FloatType) else "f64"
    signature = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fma.v{a.type.count}{kind}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), [a, b, c])


def constant(value: int) -> Any:
    """An integer constant of 64 bits."""
    return ir.Constant(ir.IntType(64), value)
