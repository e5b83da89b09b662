"""Products of two values: element by element, or of planes with one factor each.

The second kind is the last step of a squeeze-and-excitation block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.simd.vectors import (
    itemsize,
    load,
    multiply,
    multiply_add,
    splat,
    store,
    sum_lanes,
)
from fcpts_ref.engines.numba.tuning import ACTIVATION_BLOCK, FLOAT_SUM_VECTORS


@compiled
def multiply_values(a: Any, b: Any, y: Any) -> None:
    """y = a b; buffers of one shape, y may be a or b."""
    for_each((y.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK, _multiply_block, a, b, y)


@compiled_part
def _multiply_block(block: int, a: Any, b: Any, y: Any) -> None:
    L = VECTOR_BYTES // itemsize(y)
    for at in range(block * ACTIVATION_BLOCK, min((block + 1) * ACTIVATION_BLOCK, y.size), L):
        store(y, at, multiply(load(a, at), load(b, at)))


@compiled
def scale_planes(x: Any, factors: Any, y: Any) -> None:
    """y = x times the first element of the plane of ``factors``; y may be x.

    x, y: (N, C, PLANE); factors: (N, C, PLANE of one pixel).
    """
    for_each(len(x) * x.shape[1], _scale_plane, x, factors, y)


@compiled_part
def _scale_plane(item: int, x: Any, factors: Any, y: Any) -> None:
    L, plane = VECTOR_BYTES // itemsize(x), x.shape[2]
    factor = splat(factors[item // x.shape[1], item % x.shape[1], 0])
    for at in range(item * plane, (item + 1) * plane, L):
        store(y, at, multiply(load(x, at), factor))


@compiled
def scale_gradients(dy: Any, x: Any, dfactors: Any) -> None:
    """dfactors = the sum of dy x over every plane; their borders are zero."""
    for_each(len(x) * x.shape[1], _sum_plane, dy, x, dfactors)


@compiled_part
def _sum_plane(item: int, dy: Any, x: Any, dfactors: Any) -> None:
    L, plane = VECTOR_BYTES // itemsize(x), x.shape[2]
    vectors, total, zero = plane // L, 0.0, splat(x.dtype.type(0))
    for first in range(0, vectors, FLOAT_SUM_VECTORS):
        last = min(first + FLOAT_SUM_VECTORS, vectors)
        even, odd = zero, zero
        for v in range(first, last - 1, 2):
            at = item * plane + v * L
            even = multiply_add(load(dy, at), load(x, at), even)
            odd = multiply_add(load(dy, at + L), load(x, at + L), odd)
        if (last - first) % 2:
            at = item * plane + (last - 1) * L
            even = multiply_add(load(dy, at), load(x, at), even)
        total += np.float64(sum_lanes(even)) + np.float64(sum_lanes(odd))
    dfactors[item // x.shape[1], item % x.shape[1], 0] = total
