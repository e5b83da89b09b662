"""Partial sums over planes, from which batch norm computes mean and variance.

``sums`` are float64 (N, C, 4), for channel c of image n, or of it and some images after it:

    a centre, the sum of the deviations from it, the sum of their squares, how many values.

The count is 0 for images merged into an earlier row; their other numbers are undefined.  Any
vector's mean lies within sqrt(V) standard deviations of the mean of V vectors, so using the mean of
the first one as the centre is numerically safe.  Rows are merged as by T. F. Chan, G. H. Golub and
R. J. LeVeque, Algorithms for Computing the Sample Variance, The American Statistician 37, 1983.

The row-packed and the Winograd kernels add a piece of every plane as soon as it is written, while
it is in the first-level cache (``add_rows``); other kernels add an image when it is written
(``image_sums``).  Sums are taken in float lanes and flushed into float64 every FLOAT_SUM_VECTORS
vectors; two or four of them side by side, so that an addition need not wait for the last one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.simd.register_tiles import load_as, load_lanes, splat_as, zero_tile
from fcpts_ref.engines.numba.simd.types import static_size
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    apply_mask,
    itemsize,
    load,
    multiply_add,
    splat,
    store,
    subtract,
    sum_lanes,
)
from fcpts_ref.engines.numba.tuning import FLOAT_SUM_VECTORS

ONE = static_size(1)


@compiled_part
def add_rows(
    target: Any, places: Any, count: int, shift: int, rows: int, vectors: int, pitch: int,
    begin: bool, sums: Any, n: int, c: int, lanes: Any, LANES: Any,
) -> None:  # fmt: skip
    """Rows 2 c and 2 c + 1 of lanes (2 C, L) += deviations of channel c, and their squares.

    They are of ``count`` blocks, which begin at places[i] + shift and have ``rows`` rows of
    ``vectors`` vectors, ``pitch`` apart.  begin: with a new centre, 0 where it is not finite.
    """
    L, at_lanes = len(LANES), 2 * c * lanes.shape[1]
    first = load_lanes(target, places[0] + shift, LANES)
    zeros = zero_tile(target, ONE, 2, LANES)
    if begin:
        mean = np.float64(sum_lanes(first)) / L
        begin_sums(sums, n, c, target.dtype.type(mean if np.isfinite(mean) else 0))
        store(lanes, at_lanes, zeros[0])
        store(lanes, at_lanes + L, zeros[0])
    centre = splat_as(first, sums[n, c, 0])
    linear, square = load_as(first, lanes, at_lanes), load_as(first, lanes, at_lanes + L)
    other, other_square = zeros[0], zeros[1]
    for i in range(count):
        for row in range(rows):
            for v in range(vectors):
                at = places[i] + shift + row * pitch + v * L
                d = subtract(load_lanes(target, at, LANES), centre)
                linear, other = other, add(linear, d)
                square, other_square = other_square, multiply_add(d, d, square)
    store(lanes, at_lanes, add(linear, other))
    store(lanes, at_lanes + L, add(square, other_square))


@compiled_part
def begin_sums(sums: Any, n: int, c: int, centre: float) -> None:
    """No values yet."""
    sums[n, c, 0] = centre
    sums[n, c, 1] = 0
    sums[n, c, 2] = 0


@compiled_part
def flush(lanes: Any, sums: Any, n: int, LANES: Any) -> None:
    """Add the sums over the lanes to the sums; the lanes are zero then."""
    zero = zero_tile(lanes, ONE, 1, LANES)[0]
    for c in range(lanes.shape[0] // 2):
        for i in range(2):
            at = (2 * c + i) * lanes.shape[1]
            sums[n, c, 1 + i] += np.float64(sum_lanes(load_as(zero, lanes, at)))
            store(lanes, at, zero)


@compiled_part
def write_counts(sums: Any, n: int, images: int, values: int) -> None:
    """values: of each channel, of image n and those counted with it."""
    for c in range(sums.shape[1]):
        sums[n, c, 3] = values
        for i in range(n + 1, n + images):
            sums[i, c, 3] = 0


@compiled_part
def plane_sum(x: Any, at: int, vectors: int) -> float:
    """The sum of a plane; its border is zero."""
    L = VECTOR_BYTES // itemsize(x)
    zero = splat(x.dtype.type(0))
    total = 0.0
    for first in range(0, vectors, FLOAT_SUM_VECTORS):
        last = min(first + FLOAT_SUM_VECTORS, vectors)
        a, b, c, d = zero, zero, zero, zero
        for v in range(first, last - 3, 4):
            here = at + v * L
            a, b = add(a, load(x, here)), add(b, load(x, here + L))
            c, d = add(c, load(x, here + 2 * L)), add(d, load(x, here + 3 * L))
        for v in range(last - (last - first) % 4, last):
            a = add(a, load(x, at + v * L))
        total += np.float64(sum_lanes(add(add(a, b), add(c, d))))
    return total


@compiled_part
def image_sums(n: int, x: Any, mask: Any, pixels: int, sums: Any) -> None:
    """Those of image n alone; mask: ``layout.pixel_mask`` of the planes; pixels: of a plane."""
    channels, plane = x.shape[1:]
    vectors = plane * itemsize(x) // VECTOR_BYTES
    for c in range(channels):
        add_plane(x, (n * channels + c) * plane, vectors, mask, pixels, sums, n, c)
    write_counts(sums, n, 1, pixels)


@compiled_part
def add_plane(
    x: Any, at: int, vectors: int, mask: Any, pixels: int, sums: Any, n: int, c: int
) -> None:
    """Moments about the rounded mean of a plane, which is in the cache once that is known."""
    L = VECTOR_BYTES // itemsize(x)
    rounded = x.dtype.type(plane_sum(x, at, vectors) / pixels)
    begin_sums(sums, n, c, rounded)
    centre, zero = splat(rounded), splat(x.dtype.type(0))
    for first in range(0, vectors, FLOAT_SUM_VECTORS):
        last = min(first + FLOAT_SUM_VECTORS, vectors)
        d_even, d_odd, q_even, q_odd = zero, zero, zero, zero
        for v in range(first, last - 1, 2):
            here = v * L
            even = apply_mask(subtract(load(x, at + here), centre), mask, here)
            odd = apply_mask(subtract(load(x, at + here + L), centre), mask, here + L)
            d_even, q_even = add(d_even, even), multiply_add(even, even, q_even)
            d_odd, q_odd = add(d_odd, odd), multiply_add(odd, odd, q_odd)
        for v in range(last - (last - first) % 2, last):
            even = apply_mask(subtract(load(x, at + v * L), centre), mask, v * L)
            d_even, q_even = add(d_even, even), multiply_add(even, even, q_even)
        sums[n, c, 1] += np.float64(sum_lanes(add(d_even, d_odd)))
        sums[n, c, 2] += np.float64(sum_lanes(add(q_even, q_odd)))
    if not np.isfinite(sums[n, c, 1]):  # NaN or infinity in the plane: the centre shows it
        sums[n, c, 1] = 0


@compiled
def plane_sums(x: Any, mask: Any, pixels: int, sums: Any) -> None:
    """``image_sums`` of all images."""
    for_each(len(x), image_sums, x, mask, pixels, sums)
