"""The joints of a graph on buffers: option A shortcuts, addition, and copies.

A shortcut takes every ``stride``-th pixel and puts the channels behind ``before`` zero ones:
subsample and zero_pad in one sweep; either alone has before = 0 or stride = 1.
"""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.jit.host import VECTOR_BYTES
from fcpts_ref.engines.numba.simd.vectors import add, itemsize, load, store
from fcpts_ref.engines.numba.tuning import ACTIVATION_BLOCK


@compiled
def shortcut(
    x: Any, pitch: int, stride: int, before: int, y: Any, size: tuple[int, int], y_pitch: int
) -> None:
    """y[n, before + c, p, q] = x[n, c, p stride, q stride]; 0 in the channels that x has not.

    x: (N, C, PLANE); y: (N, K, PLANE) with images of this size.
    """
    for_each(len(y) * y.shape[1], _take_plane, x, pitch, stride, before, y, size, y_pitch)


@compiled_part
def _take_plane(
    item: int, x: Any, pitch: int, stride: int, before: int, y: Any, size: Any, y_pitch: int
) -> None:
    channels, planes = x.shape[1], y.shape[1]
    n, c = item // planes, item % planes - before
    target = y[n, c + before]
    for p in range(size[0]):
        to = target[p * y_pitch : p * y_pitch + size[1]]
        if 0 <= c < channels:
            row = x[n, c, p * stride * pitch : (p * stride + 1) * pitch]
            for q in range(size[1]):
                to[q] = row[q * stride]
        else:
            to[:] = 0


@compiled
def shortcut_backward(
    dy: Any, y_pitch: int, stride: int, before: int,
    dx: Any, size: tuple[int, int], pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    """dx (+)= dy at the pixels that were taken, 0 at the others; size: of the images of dx."""
    for_each(
        len(dx) * dx.shape[1], _give_plane,
        dy, y_pitch, stride, before, dx, size, pitch, accumulate,
    )  # fmt: skip


@compiled_part
def _give_plane(
    item: int, dy: Any, y_pitch: int, stride: int, before: int,
    dx: Any, size: Any, pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    channels = dx.shape[1]
    n, c = item // channels, item % channels
    source, target = dy[n, c + before], dx[n, c]
    for p in range(size[0]):
        to = target[p * pitch : p * pitch + size[1]]
        if not accumulate:
            to[:] = 0
        if p % stride == 0:
            row = source[p // stride * y_pitch : (p // stride + 1) * y_pitch]
            for q in range((size[1] + stride - 1) // stride):
                to[q * stride] += row[q]


@compiled
def add_planes(a: Any, b: Any, y: Any) -> None:
    """y = a + b; buffers of one shape, y may be a or b."""
    for_each((y.size + ACTIVATION_BLOCK - 1) // ACTIVATION_BLOCK, _add_piece, a, b, y)


@compiled_part
def _add_piece(piece: int, a: Any, b: Any, y: Any) -> None:
    L = VECTOR_BYTES // itemsize(y)
    for at in range(piece * ACTIVATION_BLOCK, min((piece + 1) * ACTIVATION_BLOCK, y.size), L):
        store(y, at, add(load(a, at), load(b, at)))
