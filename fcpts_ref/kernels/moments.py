"""Mean and squared deviations of planes, for batch norm.

``moments`` are float64 (N, C, 3): mean, sum of squared deviations and number of values, of channel
c of image n, or of it and the images after it, whose numbers are 0 then.

The kernels by rows and by squares add values up as soon as a piece of every plane is written, when
it is still in the first-level cache: deviations from a *centre*, and their squares.  The centre is
the mean of the first vector of a plane.  Of V vectors none can be more than sqrt(V) standard
deviations away from the mean of all, so little is lost to rounding whatever the values are.
Other kernels take the moments of an image when it is written, about its mean (``image_moments``).

Sums: in float lanes, flushed into float64 every CHUNK vectors; more than one side by side, so that
an addition need not wait for the last one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from .compilation import compiled, compiled_parallel
from .vectors import (
    VECTOR_BYTES,
    add,
    broadcast_as,
    keep,
    load,
    load_as,
    load_lanes,
    multiply_add,
    splat,
    store,
    subtract,
    sum_lanes,
    zero_tile,
)

CHUNK = 128  # vectors that are added in float lanes before they go to float64


@compiled
def add_rows(
    target: Any, places: Any, count: int, shift: int, rows: int, vectors: int, pitch: int, c: int,
    begin: bool, centres: Any, lanes: Any, lane_shape: Any,
) -> None:  # fmt: skip
    """Rows 2 c and 2 c + 1 of lanes (2 C, L) += deviations of channel c, and their squares.

    They are of ``count`` blocks, which begin at places[i] + shift and have ``rows`` rows of
    ``vectors`` vectors, ``pitch`` apart; begin: with a new centre, 0 where it is not finite.
    """
    L, at_lanes = len(lane_shape), 2 * c * lanes.shape[1]
    first = load_lanes(target, places[0] + shift, lane_shape)
    if begin:
        mean = np.float64(sum_lanes(first)) / L
        centres[c] = mean if np.isfinite(mean) else 0
    centre = broadcast_as(first, centres, c)
    linear, square = load_as(first, lanes, at_lanes), load_as(first, lanes, at_lanes + L)
    others = zero_tile(target, (0,), 2, lane_shape)
    other, other_square = others[0], others[1]
    for i in range(count):
        for row in range(rows):
            for v in range(vectors):
                at = places[i] + shift + row * pitch + v * L
                d = subtract(load_lanes(target, at, lane_shape), centre)
                linear, other = other, add(linear, d)
                square, other_square = other_square, multiply_add(d, d, square)
    store(lanes, at_lanes, add(linear, other))
    store(lanes, at_lanes + L, add(square, other_square))


@compiled
def flush(lanes: Any, sums: Any, lane_shape: Any) -> None:
    """sums (C, 2) += the sums over the lanes, which are zero then."""
    for c in range(len(sums)):
        for i in range(2):
            at = (2 * c + i) * lanes.shape[1]
            sums[c, i] += np.float64(sum_lanes(load_lanes(lanes, at, lane_shape)))
    lanes[:] = 0


@compiled
def write_moments(sums: Any, centres: Any, values: int, n: int, images: int, moments: Any) -> None:
    """moments[n : n + images] from sums (C, 2) of deviations from the centres, and their squares.

    values: how many there are of each channel.
    """
    for c in range(len(centres)):
        linear, square = sums[c, 0], sums[c, 1]
        moments[n, c, 0] = np.float64(centres[c]) + linear / values
        moments[n, c, 1] = square - linear * (linear / values)
        moments[n, c, 2] = values
        moments[n + 1 : n + images, c] = 0


@compiled
def plane_sum(x: Any, at: int, vectors: int) -> float:
    """The sum of a plane; its border is zero."""
    L = VECTOR_BYTES // x.itemsize
    zero = splat(x.dtype.type(0))
    total = 0.0
    for first in range(0, vectors, CHUNK):
        last = min(first + CHUNK, vectors)
        a, b, c, d = zero, zero, zero, zero
        for v in range(first, last - 3, 4):
            here = at + v * L
            a, b = add(a, load(x, here)), add(b, load(x, here + L))
            c, d = add(c, load(x, here + 2 * L)), add(d, load(x, here + 3 * L))
        for v in range(last - (last - first) % 4, last):
            a = add(a, load(x, at + v * L))
        total += np.float64(sum_lanes(add(add(a, b), add(c, d))))
    return total


@compiled
def plane_moments(x: Any, at: int, vectors: int, mask: Any, pixels: int) -> tuple[float, float]:
    """Mean of a plane and its sum of squared deviations; the plane is in the cache after the mean.

    The second sum is taken about the rounded mean and corrected for the rounding.
    """
    L = VECTOR_BYTES // x.itemsize
    rounded = x.dtype.type(plane_sum(x, at, vectors) / pixels)
    centre, zero = splat(rounded), splat(x.dtype.type(0))
    linear, square = 0.0, 0.0
    for first in range(0, vectors, CHUNK):
        last = min(first + CHUNK, vectors)
        d_even, d_odd, q_even, q_odd = zero, zero, zero, zero
        for v in range(first, last - 1, 2):
            here = v * L
            even = keep(subtract(load(x, at + here), centre), mask, here)
            odd = keep(subtract(load(x, at + here + L), centre), mask, here + L)
            d_even, q_even = add(d_even, even), multiply_add(even, even, q_even)
            d_odd, q_odd = add(d_odd, odd), multiply_add(odd, odd, q_odd)
        for v in range(last - (last - first) % 2, last):
            even = keep(subtract(load(x, at + v * L), centre), mask, v * L)
            d_even, q_even = add(d_even, even), multiply_add(even, even, q_even)
        linear += np.float64(sum_lanes(add(d_even, d_odd)))
        square += np.float64(sum_lanes(add(q_even, q_odd)))
    if not np.isfinite(linear):  # NaN or infinity in the plane: its mean says which
        return np.float64(rounded), linear
    return np.float64(rounded) + linear / pixels, square - linear * linear / pixels


@compiled
def image_moments(x: Any, n: int, mask: Any, pixels: int, moments: Any) -> None:
    """moments[n, c] of plane c of image n.

    mask: ``layout.keep_mask`` of the planes; pixels: of a plane.
    """
    channels, plane = x.shape[1:]
    vectors = plane * x.itemsize // VECTOR_BYTES
    for c in range(channels):
        at = (n * channels + c) * plane
        moments[n, c, 0], moments[n, c, 1] = plane_moments(x, at, vectors, mask, pixels)
        moments[n, c, 2] = pixels


@compiled_parallel
def statistics(x: Any, mask: Any, pixels: int, moments: Any) -> None:
    """``image_moments`` of all images."""
    for n in prange(len(x)):
        image_moments(x, n, mask, pixels, moments)
