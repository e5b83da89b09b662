"""Mean and squared deviations of every plane, for batch norm.

The kernels of convolutions take them of an image as soon as it is written, while it is in the
cache.  Sums: in float lanes, flushed into float64 every CHUNK vectors; more than one side by side,
so that an addition need not wait for the last one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from .compilation import compiled, compiled_parallel
from .vectors import VECTOR_BYTES, add, keep, load, multiply_add, splat, subtract, sum_lanes

CHUNK = 128  # vectors that are added in float lanes before they go to float64


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
    """moments[n, c] = mean and sum of squared deviations of plane c of image n.

    moments: float64 (N, C, 2); mask: ``layout.keep_mask`` of the planes; pixels: of a plane.
    """
    channels, plane = x.shape[1:]
    vectors = plane * x.itemsize // VECTOR_BYTES
    for c in range(channels):
        at = (n * channels + c) * plane
        moments[n, c, 0], moments[n, c, 1] = plane_moments(x, at, vectors, mask, pixels)


@compiled_parallel
def statistics(x: Any, mask: Any, pixels: int, moments: Any) -> None:
    """``image_moments`` of all images."""
    for n in prange(len(x)):
        image_moments(x, n, mask, pixels, moments)
