"""The inner steps of Winograd's kernels: pixels of tiles to transformed coefficients and back.

Image tiles lie side by side in rows of pixels; each lane of a vector is one of them.  Their pixels
are read in *strips*, half as many pixels as a vector has lanes, wherever those are: one below the
other in narrow images, in consecutive images in the narrowest.  8 strips are 4 vectors of pixels,
or one vector each of the tiles' first, second, third and fourth pixels.  The order of the tiles in
the lanes is known here alone: ``transform_inputs`` and ``invert_columns`` agree on it, and
``lane_order`` tells others.
"""

from __future__ import annotations

from collections.abc import Callable
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
)
from fcpts_ref.engines.numba.simd.types import VectorType

SIZE = 4  # pixels along a side of the output
STRIPS = 2 * SIZE
SPAN = SIZE + 2  # pixels along a side of the input
COEFFICIENTS = SPAN * SPAN


def _input_coefficients(builder: Any, d: list[Any]) -> list[Any]:
    """B^T d: the transformed coefficients of six inputs.

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
    """A^T m: y_p = sum over the points x of x^p m, p = 0 ... 3; infinity counts in y3 alone."""
    sum_, difference = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
    half, two = m[3], m[4]
    return [
        builder.fadd(builder.fadd(m[0], sum_), builder.fadd(half, two)),
        _scaled(builder, 0.5, half, _scaled(builder, -2.0, two, difference)),
        _scaled(builder, 0.25, half, _scaled(builder, 4.0, two, sum_)),
        builder.fadd(_scaled(builder, 0.125, half, _scaled(builder, -8.0, two, difference)), m[5]),
    ]


def _gradient_coefficients(builder: Any, dy: list[Any]) -> list[Any]:
    """A dy: the values of dy0 + dy1 x + dy2 x^2 + dy3 x^3 at the points."""
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
    """For each lane of a vector of tiles: the strip in which its tile begins, and where."""
    half = lanes // 2
    return [(2 * (lane % 4) + lane // 4 * 4 // half, lane // 4 * 4 % half) for lane in range(lanes)]


@intrinsic
def transform_inputs(
    typing: Any, x: Any, places: Any, shift: Any, pitch: Any, coeffs: Any, at_coeffs: Any
) -> Any:
    """coeffs[:, at_coeffs ...] = those of the tiles whose inputs begin in these strips.

    places: where the STRIPS strips of the first row are in x, less ``shift``.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, places_, shift_, pitch_, coeffs_, at = args
        starts = _starts(context, builder, places, places_)
        rows = []
        for p in range(SPAN):
            down = builder.add(shift_, builder.mul(pitch_, constant(p)))
            row = [builder.add(start, down) for start in starts]
            near = _vectors_of_strips(context, builder, x, pixels, row)
            row = [builder.add(start, constant(SIZE)) for start in row]
            far = _vectors_of_strips(context, builder, x, pixels, row)
            rows.append(_four_pixels(builder, near) + _two_pixels(builder, far))
        values = _both_ways(builder, rows, _input_coefficients)
        at_coeff = _coefficient_places(context, builder, coeffs, coeffs_, at)
        for place, value in zip(at_coeff, values, strict=True):
            emit_store(context, builder, coeffs, coeffs_, place, value)
        return context.get_dummy_value()

    index = types.intp
    return types.void(x, places, index, index, coeffs, index), generate


@intrinsic
def multiply_row(
    typing: Any, tile: Any, packed: Any, at_packed: Any, x_coeffs: Any, at_coeffs: Any, pace: Any
) -> Any:
    """tile[j, m] += packed[at_packed + j * rows + m] * x_coeffs[at_coeffs + j * pace ...].

    j: the coefficients in a row of them; the register tile has SPAN * rows vectors.
    """
    vector, count = tile.dtype, tile.count // SPAN

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile_, packed_, at, x, at_x, pace_ = args
        sums = cgutils.unpack_tuple(builder, tile_, tile.count)
        for j in range(SPAN):
            place = builder.add(at_x, builder.mul(pace_, constant(j)))
            coefficient = emit_load(context, builder, x_coeffs, x, place, vector.lanes)
            for i in range(j * count, (j + 1) * count):
                place = builder.add(at, constant(i))
                number = builder.load(emit_address(context, builder, packed, packed_, place))
                weight = emit_broadcast(builder, number, coefficient.type)
                sums[i] = emit_multiply_add(builder, weight, coefficient, sums[i])
        return context.make_tuple(builder, tile, sums)

    index = types.intp
    return tile(tile, packed, index, x_coeffs, index, index), generate


@intrinsic
def invert_row(typing: Any, tile: Any, y_rows: Any, at: Any, pace: Any) -> Any:
    """y_rows[at + m * pace ...] = outputs of a row of coefficients, SIZE vectors of channel m."""
    lanes, count = tile.dtype.lanes, tile.count // SPAN

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile_, y, at_, pace_ = args
        coeffs = cgutils.unpack_tuple(builder, tile_, tile.count)
        for m in range(count):
            plane = builder.add(at_, builder.mul(pace_, constant(m)))
            for q, value in enumerate(_output_pixels(builder, coeffs[m::count])):
                place = builder.add(plane, constant(q * lanes))
                emit_store(context, builder, y_rows, y, place, value)
        return context.get_dummy_value()

    return types.void(tile, y_rows, types.intp, types.intp), generate


@intrinsic
def invert_columns(typing: Any, y_rows: Any, at: Any) -> Any:
    """The outputs of tiles from y_rows[at ...]: rows of STRIPS strips, two a vector.

    y_rows: for each row of coefficients, SIZE vectors (``invert_row``).
    """
    kind = VectorType(y_rows.dtype)
    result = types.UniTuple(kind, SIZE * STRIPS // 2)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        starts = [builder.add(args[1], constant(i * kind.lanes)) for i in range(SPAN * SIZE)]
        rows = [emit_load(context, builder, y_rows, args[0], place) for place in starts]
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
def transform_gradients(
    typing: Any, dy: Any, at: Any, down: Any, right: Any, coeffs: Any, at_coeffs: Any
) -> Any:
    """coeffs[:, at_coeffs ...] = those of the 4 x 4 pixels dy[at + p * down + q * right ...].

    For the weight gradient; lanes are planes.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pixels, at_, down_, right_, coeffs_, at_coeff = args
        rows = []
        for p in range(SIZE):
            row = builder.add(at_, builder.mul(down_, constant(p)))
            steps = [builder.mul(right_, constant(q)) for q in range(SIZE)]
            rows.append(
                [emit_load(context, builder, dy, pixels, builder.add(row, q)) for q in steps]
            )
        places = _coefficient_places(context, builder, coeffs, coeffs_, at_coeff)
        for place, value in zip(
            places, _both_ways(builder, rows, _gradient_coefficients), strict=True
        ):
            emit_store(context, builder, coeffs, coeffs_, place, value)
        return context.get_dummy_value()

    index = types.intp
    return types.void(dy, index, index, index, coeffs, index), generate


@intrinsic
def load_strips(typing: Any, vector: Any, array: Any, places: Any, first: Any, shift: Any) -> Any:
    """A vector of the strips at places[first] + shift and places[first + 1] + shift."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = _two_starts(context, builder, places, *args[2:])
        return _vectors_of_strips(context, builder, array, args[1], row)[0]

    return vector(vector, array, places, types.intp, types.intp), generate


@intrinsic
def store_strips(
    typing: Any, array: Any, places: Any, first: Any, shift: Any, vector: Any, count: Any
) -> Any:
    """The way back, for strips whose number is below count."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target, places_, first_, shift_, value, count_ = args
        row = _two_starts(context, builder, places, places_, first_, shift_)
        half = vector.lanes // 2
        for i, at in enumerate(row):
            strip = emit_shuffle(builder, value, value, list(range(i * half, (i + 1) * half)))
            number = builder.add(first_, constant(i))
            with builder.if_then(builder.icmp_signed("<", number, count_), likely=True):
                emit_store(context, builder, array, target, at, strip)
        return context.get_dummy_value()

    index = types.intp
    return types.void(array, places, index, index, vector, index), generate


def _starts(context: Any, builder: Any, kind: Any, places: Any) -> list[Any]:
    return [_integer(context, builder, kind, places, constant(i)) for i in range(STRIPS)]


def _two_starts(
    context: Any, builder: Any, kind: Any, places: Any, first: Any, shift: Any
) -> list[Any]:
    numbers = [first, builder.add(first, constant(1))]
    found = [_integer(context, builder, kind, places, number) for number in numbers]
    return [builder.add(place, shift) for place in found]


def _integer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.load(emit_address(context, builder, kind, array, index))


def _vectors_of_strips(
    context: Any, builder: Any, kind: Any, array: Any, places: list[Any]
) -> list[Any]:
    lanes = VectorType(kind.dtype).lanes
    halves = [emit_load(context, builder, kind, array, place, lanes // 2) for place in places]
    whole = list(range(lanes))
    return [
        emit_shuffle(builder, a, b, whole) for a, b in zip(halves[::2], halves[1::2], strict=True)
    ]


# Shuffles within fours of lanes, which are the fastest on most processors.


def _four_pixels(builder: Any, vectors: list[Any]) -> list[Any]:
    """Every tile's pixels 0, 1, 2 and 3 from four vectors of pixels."""
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
    return emit_shuffle(
        builder, a, b, [i + v + four for four in fours for v in (0, lanes) for i in two]
    )


def _zip_fours(builder: Any, a: Any, b: Any) -> list[Any]:
    """In every four lanes: a0, b0, a1, b1, and a2, b2, a3, b3."""
    lanes = a.type.count
    fours = range(0, lanes, 4)
    low = [i + v + four for four in fours for i in (0, 1) for v in (0, lanes)]
    return [emit_shuffle(builder, a, b, low), emit_shuffle(builder, a, b, [i + 2 for i in low])]


def _scaled(builder: Any, factor: float, a: Any, b: Any) -> Any:
    """factor * a + b, rounded once."""
    return emit_multiply_add(builder, ir.Constant(a.type, [factor] * a.type.count), a, b)


def _both_ways(
    builder: Any, grid: list[list[Any]], combine: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Combine along every row, then down every column; the results row by row."""
    rows = [combine(builder, row) for row in grid]
    columns = [combine(builder, list(column)) for column in zip(*rows, strict=True)]
    return [value for row in zip(*columns, strict=True) for value in row]


def _coefficient_places(context: Any, builder: Any, kind: Any, coeffs: Any, at: Any) -> list[Any]:
    array = context.make_array(kind)(context, builder, coeffs)
    length = builder.extract_value(array.shape, 1)
    return [builder.add(at, builder.mul(length, constant(i))) for i in range(COEFFICIENTS)]
