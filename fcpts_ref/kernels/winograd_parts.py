"""The inner steps of ``winograd_gradient``: pixels to parts.

A vector holds one pixel of as many channels as it has lanes; parts are the rows of an array,
part 4 i + j being part i by rows and part j by columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import intrinsic

from .vectors import _constant, _load, _store

PARTS = 16

Combine = Callable[[Any, list[Any]], list[Any]]


def _input_parts(builder: Any, d: list[Any]) -> list[Any]:
    """d0 - d2, d1 + d2, d2 - d1, d1 - d3"""
    differences = [builder.fsub(d[a], d[b]) for a, b in ((0, 2), (2, 1), (1, 3))]
    return [differences[0], builder.fadd(d[1], d[2]), *differences[1:]]


def _gradient_parts(builder: Any, dy: list[Any]) -> list[Any]:
    """dy0, dy0 + dy1, dy0 - dy1, dy1"""
    return [dy[0], builder.fadd(*dy), builder.fsub(*dy), dy[1]]


@intrinsic
def split_input(
    typing: Any, x: Any, at: Any, down: Any, right: Any, parts: Any, at_parts: Any
) -> Any:
    """parts[:, at_parts ...] = the parts of the 4 x 4 pixels x[at + p * down + q * right ...]."""
    kind = types.void(x, types.intp, types.intp, types.intp, parts, types.intp)
    return kind, _square_to_parts(x, parts, 4, _input_parts)


@intrinsic
def split_gradient(
    typing: Any, dy: Any, at: Any, down: Any, right: Any, parts: Any, at_parts: Any
) -> Any:
    """The same of the 2 x 2 pixels of dy, for the weight gradient."""
    kind = types.void(dy, types.intp, types.intp, types.intp, parts, types.intp)
    return kind, _square_to_parts(dy, parts, 2, _gradient_parts)


def _square_to_parts(pixels: Any, parts: Any, size: int, combine: Combine) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = _square_places(builder, size, *args[1:4])
        d = [_load(context, builder, pixels, args[0], place) for place in places]
        values = _both_ways(builder, [d[i : i + size] for i in range(0, len(d), size)], combine)
        places = _part_places(context, builder, parts, args[4], args[5])
        for place, value in zip(places, values, strict=True):
            _store(context, builder, parts, args[4], place, value)
        return context.get_dummy_value()

    return generate


def _both_ways(builder: Any, square: list[list[Any]], combine: Combine) -> list[Any]:
    """Combine down every column, then along every row; the results row by row."""
    columns = [combine(builder, list(column)) for column in zip(*square, strict=True)]
    rows = [combine(builder, list(row)) for row in zip(*columns, strict=True)]
    return [value for row in rows for value in row]


def _square_places(builder: Any, size: int, at: Any, down: Any, right: Any) -> list[Any]:
    rows = [builder.add(at, builder.mul(down, _constant(p))) for p in range(size)]
    steps = [builder.mul(right, _constant(q)) for q in range(size)]
    return [builder.add(row, step) for row in rows for step in steps]


def _part_places(context: Any, builder: Any, kind: Any, parts: Any, at: Any) -> list[Any]:
    array = context.make_array(kind)(context, builder, parts)
    length = builder.extract_value(array.shape, 1)
    return [builder.add(at, builder.mul(length, _constant(i))) for i in range(PARTS)]
