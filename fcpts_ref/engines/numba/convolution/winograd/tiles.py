"""The inner steps of ``winograd``: pixels of 16 squares, or as many as lanes, to parts and back.

Squares lie side by side in rows of pixels.  Vectors of squares are made from *pieces*, half as
many pixels as a vector has lanes, wherever they are: one below the other in narrow images, in
images that follow each other in the narrowest.  8 pieces are 4 vectors of pixels, or one vector
each of the squares' first, second, third and fourth pixels.  Which lane is which square is only
known here: what ``split_squares`` takes apart, ``join_squares`` puts together; ``lane_order`` says
it to the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fcpts_ref.engines.numba.simd.vectors import (
    VectorType,
    _address,
    _broadcast,
    _constant,
    _load,
    _multiply_add,
    _shuffle,
    _store,
)

SIZE = 4  # pixels along a side of the output
PIECES = 2 * SIZE
SPAN = SIZE + 2  # pixels along a side of the input
PARTS = SPAN * SPAN


def _input_parts(builder: Any, d: list[Any]) -> list[Any]:
    """The values of d0 + d1 x + ... + d5 x^5 modulo everything but one point each.

    Rows of B^T: the coefficients of the product of (x - p) over the other points p.
    """
    first, odd, even, last = (builder.fsub(d[i + 2], d[i]) for i in range(4))
    one, two = _scaled(builder, 1.5, d[2], odd), _scaled(builder, 1.5, d[3], even)
    return [
        _scaled(builder, 1.5, odd, builder.fsub(even, first)),
        builder.fadd(two, one),
        builder.fsub(two, one),
        _scaled(builder, 2.0, odd, even),
        _scaled(builder, -0.5, odd, even),
        _scaled(builder, 1.5, even, builder.fsub(last, odd)),
    ]


def _output_pixels(builder: Any, m: list[Any]) -> list[Any]:
    """y_p = sum over the points x of x^p m, p = 0 ... 3; infinity counts in y3 alone."""
    sum_, difference = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
    half, two = m[3], m[4]
    return [
        builder.fadd(builder.fadd(m[0], sum_), builder.fadd(half, two)),
        _scaled(builder, 0.5, half, _scaled(builder, -2.0, two, difference)),
        _scaled(builder, 0.25, half, _scaled(builder, 4.0, two, sum_)),
        builder.fadd(_scaled(builder, 0.125, half, _scaled(builder, -8.0, two, difference)), m[5]),
    ]


def _gradient_parts(builder: Any, dy: list[Any]) -> list[Any]:
    """The values of dy0 + dy1 x + dy2 x^2 + dy3 x^3 at the points."""
    even, odd = builder.fadd(dy[0], dy[2]), builder.fadd(dy[1], dy[3])
    half = _scaled(builder, 0.125, dy[3], _scaled(builder, 0.25, dy[2], dy[0]))
    two = _scaled(builder, -8.0, dy[3], _scaled(builder, 4.0, dy[2], dy[0]))
    return [
        dy[0],
        builder.fadd(even, odd),
        builder.fsub(even, odd),
        _scaled(builder, 0.5, dy[1], half),
        _scaled(builder, -2.0, dy[1], two),
        dy[3],
    ]


def lane_order(lanes: int) -> list[tuple[int, int]]:
    """For each lane of a vector of squares: the piece in which its square begins, and where."""
    half = lanes // 2
    return [(2 * (lane % 4) + lane // 4 * 4 // half, lane // 4 * 4 % half) for lane in range(lanes)]


@intrinsic
def split_squares(
    typing: Any, x: Any, places: Any, shift: Any, pitch: Any, parts: Any, at_parts: Any
) -> Any:
    """parts[:, at_parts ...] = the parts of the squares whose inputs begin in these pieces.

    places: where the PIECES pieces of the first row are in x, less ``shift``.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, places_, shift_, pitch_, parts_, at = args
        starts = _starts(context, builder, places, places_)
        rows = []
        for p in range(SPAN):
            down = builder.add(shift_, builder.mul(pitch_, _constant(p)))
            row = [builder.add(start, down) for start in starts]
            near = _vectors_of_pieces(context, builder, x, pixels, row)
            row = [builder.add(start, _constant(SIZE)) for start in row]
            far = _vectors_of_pieces(context, builder, x, pixels, row)
            rows.append(_four_pixels(builder, near) + _two_pixels(builder, far))
        values = _both_ways(builder, rows, _input_parts)
        at_part = _part_places(context, builder, parts, parts_, at)
        for place, value in zip(at_part, values, strict=True):
            _store(context, builder, parts, parts_, place, value)
        return context.get_dummy_value()

    index = types.intp
    return types.void(x, places, index, index, parts, index), generate


@intrinsic
def multiply_row(
    typing: Any, tile: Any, packed: Any, at_packed: Any, x_parts: Any, at_parts: Any, pace: Any
) -> Any:
    """tile[j, m] += packed[at_packed + j * rows + m] * x_parts[at_parts + j * pace ...].

    j: the parts in a row of them; the tile has SPAN * rows vectors.
    """
    vector, count = tile.dtype, tile.count // SPAN

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile_, packed_, at, x, at_x, pace_ = args
        sums = cgutils.unpack_tuple(builder, tile_, tile.count)
        for j in range(SPAN):
            place = builder.add(at_x, builder.mul(pace_, _constant(j)))
            part = _load(context, builder, x_parts, x, place, vector.lanes)
            for i in range(j * count, (j + 1) * count):
                place = builder.add(at, _constant(i))
                number = builder.load(_address(context, builder, packed, packed_, place))
                weight = _broadcast(builder, number, part.type)
                sums[i] = _multiply_add(builder, weight, part, sums[i])
        return context.make_tuple(builder, tile, sums)

    index = types.intp
    return tile(tile, packed, index, x_parts, index, index), generate


@intrinsic
def join_row(typing: Any, tile: Any, y_rows: Any, at: Any, pace: Any) -> Any:
    """y_rows[at + m * pace ...] = the outputs of a row of parts, SIZE vectors of each plane m."""
    lanes, count = tile.dtype.lanes, tile.count // SPAN

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile_, y, at_, pace_ = args
        parts = cgutils.unpack_tuple(builder, tile_, tile.count)
        for m in range(count):
            plane = builder.add(at_, builder.mul(pace_, _constant(m)))
            for q, value in enumerate(_output_pixels(builder, parts[m::count])):
                place = builder.add(plane, _constant(q * lanes))
                _store(context, builder, y_rows, y, place, value)
        return context.get_dummy_value()

    return types.void(tile, y_rows, types.intp, types.intp), generate


@intrinsic
def join_squares(typing: Any, y_rows: Any, at: Any) -> Any:
    """The outputs of squares from y_rows[at ...]: rows of PIECES pieces, two a vector.

    y_rows: for each row of parts, SIZE vectors (``join_row``).
    """
    kind = VectorType(y_rows.dtype)
    result = types.UniTuple(kind, SIZE * PIECES // 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        starts = [builder.add(args[1], _constant(i * kind.lanes)) for i in range(SPAN * SIZE)]
        rows = [_load(context, builder, y_rows, args[0], place) for place in starts]
        columns = [_output_pixels(builder, rows[q::SIZE]) for q in range(SIZE)]
        y = [column[p] for p in range(SIZE) for column in columns]
        pixels = []
        for p in range(0, len(y), SIZE):
            first, second, third, fourth = y[p : p + SIZE]
            even, odd = _zip_fours(builder, first, third), _zip_fours(builder, second, fourth)
            for a, b in zip(even, odd, strict=True):
                pixels += _zip_fours(builder, a, b)
        return context.make_tuple(builder, result, pixels)

    return result(y_rows, types.intp), generate


@intrinsic
def split_outputs(
    typing: Any, dy: Any, at: Any, down: Any, right: Any, parts: Any, at_parts: Any
) -> Any:
    """parts[:, at_parts ...] = those of the 4 x 4 pixels dy[at + p * down + q * right ...].

    For the weight gradient; lanes are planes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, at_, down_, right_, parts_, at_part = args
        rows = []
        for p in range(SIZE):
            row = builder.add(at_, builder.mul(down_, _constant(p)))
            steps = [builder.mul(right_, _constant(q)) for q in range(SIZE)]
            rows.append([_load(context, builder, dy, pixels, builder.add(row, q)) for q in steps])
        places = _part_places(context, builder, parts, parts_, at_part)
        for place, value in zip(places, _both_ways(builder, rows, _gradient_parts), strict=True):
            _store(context, builder, parts, parts_, place, value)
        return context.get_dummy_value()

    index = types.intp
    return types.void(dy, index, index, index, parts, index), generate


@intrinsic
def load_pieces(typing: Any, vector: Any, array: Any, places: Any, first: Any, shift: Any) -> Any:
    """A vector of the pieces at places[first] + shift and places[first + 1] + shift."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = _two_starts(context, builder, places, *args[2:])
        return _vectors_of_pieces(context, builder, array, args[1], row)[0]

    return vector(vector, array, places, types.intp, types.intp), generate


@intrinsic
def store_pieces(
    typing: Any, array: Any, places: Any, first: Any, shift: Any, vector: Any, count: Any
) -> Any:
    """The way back, for pieces whose number is below count."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, places_, first_, shift_, value, count_ = args
        row = _two_starts(context, builder, places, places_, first_, shift_)
        half = vector.lanes // 2
        for i, at in enumerate(row):
            piece = _shuffle(builder, value, value, list(range(i * half, (i + 1) * half)))
            number = builder.add(first_, _constant(i))
            with builder.if_then(builder.icmp_signed("<", number, count_), likely=True):
                _store(context, builder, array, target, at, piece)
        return context.get_dummy_value()

    index = types.intp
    return types.void(array, places, index, index, vector, index), generate


def _starts(context: Any, builder: Any, kind: Any, places: Any) -> list[Any]:
    return [_integer(context, builder, kind, places, _constant(i)) for i in range(PIECES)]


def _two_starts(
    context: Any, builder: Any, kind: Any, places: Any, first: Any, shift: Any
) -> list[Any]:
    numbers = [first, builder.add(first, _constant(1))]
    found = [_integer(context, builder, kind, places, number) for number in numbers]
    return [builder.add(place, shift) for place in found]


def _integer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.load(_address(context, builder, kind, array, index))


def _vectors_of_pieces(
    context: Any, builder: Any, kind: Any, array: Any, places: list[Any]
) -> list[Any]:
    lanes = VectorType(kind.dtype).lanes
    halves = [_load(context, builder, kind, array, place, lanes // 2) for place in places]
    whole = list(range(lanes))
    return [_shuffle(builder, a, b, whole) for a, b in zip(halves[::2], halves[1::2], strict=True)]


# Shuffles within fours of lanes, which are the quickest ones on most processors.


def _four_pixels(builder: Any, vectors: list[Any]) -> list[Any]:
    """Every square's pixels 0, 1, 2 and 3 from four vectors of pixels."""
    a, b, c, d = vectors
    even = [_picked(builder, [a, b], (0, 2)), _picked(builder, [c, d], (0, 2))]
    odd = [_picked(builder, [a, b], (1, 3)), _picked(builder, [c, d], (1, 3))]
    return [_picked(builder, pair, two) for two in ((0, 2), (1, 3)) for pair in (even, odd)]


def _two_pixels(builder: Any, vectors: list[Any]) -> list[Any]:
    """Pixels 0 and 1 alone."""
    a, b, c, d = vectors
    firsts = [_picked(builder, [a, b], (0, 1)), _picked(builder, [c, d], (0, 1))]
    return [_picked(builder, firsts, two) for two in ((0, 2), (1, 3))]


def _picked(builder: Any, pair: list[Any], two: tuple[int, int]) -> Any:
    """In every four lanes: these two of the first vector, then these two of the second."""
    a, b = pair
    lanes = a.type.count
    fours = range(0, lanes, 4)
    return _shuffle(
        builder, a, b, [i + v + four for four in fours for v in (0, lanes) for i in two]
    )


def _zip_fours(builder: Any, a: Any, b: Any) -> list[Any]:
    """In every four lanes: a0, b0, a1, b1, and a2, b2, a3, b3."""
    lanes = a.type.count
    fours = range(0, lanes, 4)
    low = [i + v + four for four in fours for i in (0, 1) for v in (0, lanes)]
    return [_shuffle(builder, a, b, low), _shuffle(builder, a, b, [i + 2 for i in low])]


def _scaled(builder: Any, factor: float, a: Any, b: Any) -> Any:
    """factor * a + b, rounded once."""
    return _multiply_add(builder, ir.Constant(a.type, [factor] * a.type.count), a, b)


def _both_ways(
    builder: Any, square: list[list[Any]], combine: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Combine along every row, then down every column; the results row by row."""
    rows = [combine(builder, row) for row in square]
    columns = [combine(builder, list(column)) for column in zip(*rows, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in row]


def _part_places(context: Any, builder: Any, kind: Any, parts: Any, at: Any) -> list[Any]:
    array = context.make_array(kind)(context, builder, parts)
    length = builder.extract_value(array.shape, 1)
    return [builder.add(at, builder.mul(length, _constant(i))) for i in range(PARTS)]
