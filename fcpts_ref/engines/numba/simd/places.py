"""Vectors of places beside vectors of values: which element a lane was taken from.

A vector of places has the type of the values, but its bits are integers of the same width; it is
only selected, loaded and stored.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fcpts_ref.engines.numba.simd.emit import emit_address, emit_broadcast
from fcpts_ref.engines.numba.simd.types import VectorType


def _integers(vector: Any) -> Any:
    return ir.VectorType(ir.IntType(vector.dtype.bitwidth), vector.lanes)


def _load(context: Any, builder: Any, array: Any, args: Any, integers: Any) -> Any:
    """The integers array[index], array[index + 1], ..."""
    address = emit_address(context, builder, array, *args)
    value = builder.load(builder.bitcast(address, integers.as_pointer()))
    value.align = integers.element.width // 8
    return value


def _every(builder: Any, number: Any, integers: Any) -> Any:
    """The number, of 64 bits, in every lane."""
    if integers.element.width < 64:
        number = builder.trunc(number, integers.element)
    return emit_broadcast(builder, number, integers)


@intrinsic
def places_from(typing: Any, like: Any, table: Any, index: Any, shift: Any) -> Any:
    """The places table[index] + shift, table[index + 1] + shift, ...

    like: an array of the values' dtype; table: integers as wide.
    """
    vector = VectorType(like.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _integers(vector)
        values = _load(context, builder, table, args[1:3], integers)
        places = builder.add(values, _every(builder, args[3], integers))
        return builder.bitcast(places, context.get_value_type(vector))

    return vector(like, table, types.intp, types.intp), generate


@intrinsic
def places_in_steps(typing: Any, like: Any, start: Any, step: Any) -> Any:
    """The places start, start + step, start + 2 step, ..."""
    vector = VectorType(like.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _integers(vector)
        lanes = ir.Constant(integers, list(range(vector.lanes)))
        steps = builder.mul(lanes, _every(builder, args[2], integers))
        places = builder.add(steps, _every(builder, args[1], integers))
        return builder.bitcast(places, context.get_value_type(vector))

    return vector(like, types.intp, types.intp), generate


@intrinsic
def take_greater(
    typing: Any, value: Any, place: Any, best: Any, best_place: Any, mask: Any, index: Any
) -> Any:
    """The greater value with its place, lane by lane: (best, best_place).

    Of equals the best so far stays; NaN beats all, and the first NaN stays.  mask: integers as
    wide, of lanes that may win: those where mask[index + lane] is not 0.
    """
    result = types.UniTuple(value, 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _integers(value)
        allowed = _load(context, builder, mask, args[4:], integers)
        wins = builder.icmp_signed("!=", allowed, ir.Constant(integers, None))
        wins = builder.and_(wins, builder.fcmp_unordered(">", args[0], args[2]))
        wins = builder.and_(wins, builder.fcmp_ordered("ord", args[2], args[2]))
        both = [builder.select(wins, args[i], args[i + 2]) for i in (0, 1)]
        return context.make_tuple(builder, result, both)

    return result(value, place, best, best_place, mask, types.intp), generate


@intrinsic
def store_places(typing: Any, array: Any, index: Any, place: Any) -> Any:
    """array[index], array[index + 1], ... = the places; integers as wide as the values."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _integers(place)
        address = emit_address(context, builder, array, *args[:2])
        pointer = builder.bitcast(address, integers.as_pointer())
        stored = builder.store(builder.bitcast(args[2], integers), pointer)
        stored.align = integers.element.width // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, place), generate
