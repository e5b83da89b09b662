"""The joints of a graph on buffers: option A shortcuts, addition, and copies.

A shortcut takes every ``stride``-th pixel and puts the channels behind ``before`` zero ones:
subsample and zero_pad in one sweep; either alone has before = 0 or stride = 1.
"""

from __future__ import annotations

from typing import Any

from numba import prange

from .activation import PIECE
from .compilation import compiled_parallel
from .vectors import VECTOR_BYTES, add, load, store


@compiled_parallel
def shortcut(
    x: Any, pitch: int, stride: int, before: int, y: Any, size: tuple[int, int], y_pitch: int
) -> None:
    """y[n, before + c, p, q] = x[n, c, p stride, q stride]; 0 in the channels that x has not.

    x: (N, C, PLANE); y: (N, K, PLANE) with images of this size.
    """
    channels, planes = x.shape[1], y.shape[1]
    for item in prange(x.shape[0] * planes):
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


@compiled_parallel
def shortcut_backward(
    dy: Any, y_pitch: int, stride: int, before: int,
    dx: Any, size: tuple[int, int], pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    """dx (+)= dy at the pixels that were taken, 0 at the others; size: of the images of dx."""
    channels = dx.shape[1]
    for item in prange(dx.shape[0] * channels):
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


@compiled_parallel
def add_planes(a: Any, b: Any, y: Any) -> None:
    """y = a + b; buffers of one shape, y may be a or b."""
    L = VECTOR_BYTES // y.itemsize
    for piece in prange((y.size + PIECE - 1) // PIECE):
        for at in range(piece * PIECE, min((piece + 1) * PIECE, y.size), L):
            store(y, at, add(load(a, at), load(b, at)))
