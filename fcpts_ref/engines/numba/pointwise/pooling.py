"""Pooling on buffers: windows over planes, and the mean of whole planes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.pointwise.partial_sums import plane_sum


@compiled
def max_pool(
    x: Any, size: Any, pitch: int, kernel: Any, stride: Any, padding: Any,
    y: Any, y_size: Any, y_pitch: int, winner: Any,
) -> None:  # fmt: skip
    """y = the greatest pixel of each window; winner (N, C, P * Q): its place in the plane of x.

    Ties go to the first pixel in row-major order; the first NaN wins over all.
    """
    for_each(
        len(x) * x.shape[1], _max_of_plane,
        x, size, pitch, kernel, stride, padding, y, y_size, y_pitch, winner,
    )  # fmt: skip


@compiled_part
def _max_of_plane(
    item: int, x: Any, size: Any, pitch: int, kernel: Any, stride: Any, padding: Any,
    y: Any, y_size: Any, y_pitch: int, winner: Any,
) -> None:  # fmt: skip
    (H, W), (R, S), (P, Q) = size, kernel, y_size
    channels = x.shape[1]
    n, c = item // channels, item % channels
    source, target = x[n, c], y[n, c]
    for p in range(P):
        top = p * stride[0] - padding[0]
        for q in range(Q):
            left = q * stride[1] - padding[1]
            place = max(top, 0) * pitch + max(left, 0)
            best = source[place]
            for i in range(max(top, 0), min(top + R, H)):
                for j in range(max(left, 0), min(left + S, W)):
                    value = source[i * pitch + j]
                    if value > best or (np.isnan(value) and not np.isnan(best)):
                        place, best = i * pitch + j, value
            target[p * y_pitch + q] = best
            winner[n, c, p * Q + q] = place


@compiled
def max_pool_backward(dy: Any, y_size: Any, y_pitch: int, winner: Any, dx: Any) -> None:
    """dx = every dy at the pixel that won its window, added in row-major order of the windows."""
    for_each(len(dx) * dx.shape[1], _give_to_winners, dy, y_size, y_pitch, winner, dx)


@compiled_part
def _give_to_winners(item: int, dy: Any, y_size: Any, y_pitch: int, winner: Any, dx: Any) -> None:
    P, Q = y_size
    n, c = item // dx.shape[1], item % dx.shape[1]
    source, target, place = dy[n, c], dx[n, c], winner[n, c]
    target[:] = 0
    for p in range(P):
        for q in range(Q):
            target[place[p * Q + q]] += source[p * y_pitch + q]


@compiled
def average_pool(
    x: Any, size: Any, pitch: int, kernel: Any, stride: Any, padding: Any,
    y: Any, y_size: Any, y_pitch: int,
) -> None:  # fmt: skip
    """y = the mean of each window; padding counts as zeros."""
    for_each(
        len(x) * x.shape[1], _average_of_plane,
        x, size, pitch, kernel, stride, padding, y, y_size, y_pitch,
    )  # fmt: skip


@compiled_part
def _average_of_plane(
    item: int, x: Any, size: Any, pitch: int, kernel: Any, stride: Any, padding: Any,
    y: Any, y_size: Any, y_pitch: int,
) -> None:  # fmt: skip
    (H, W), (R, S), (P, Q) = size, kernel, y_size
    channels = x.shape[1]
    n, c = item // channels, item % channels
    source, target = x[n, c], y[n, c]
    for p in range(P):
        top = p * stride[0] - padding[0]
        for q in range(Q):
            left = q * stride[1] - padding[1]
            total = source.dtype.type(0)
            for i in range(max(top, 0), min(top + R, H)):
                for j in range(max(left, 0), min(left + S, W)):
                    total += source[i * pitch + j]
            target[p * y_pitch + q] = total / source.dtype.type(R * S)


@compiled
def average_pool_backward(
    dy: Any, y_size: Any, y_pitch: int, kernel: Any, stride: Any, padding: Any,
    dx: Any, size: Any, pitch: int,
) -> None:  # fmt: skip
    """dx = every dy shared out evenly over its window."""
    for_each(
        len(dx) * dx.shape[1], _share_plane,
        dy, y_size, y_pitch, kernel, stride, padding, dx, size, pitch,
    )  # fmt: skip


@compiled_part
def _share_plane(
    item: int, dy: Any, y_size: Any, y_pitch: int, kernel: Any, stride: Any, padding: Any,
    dx: Any, size: Any, pitch: int,
) -> None:  # fmt: skip
    (H, W), (R, S), (P, Q) = size, kernel, y_size
    channels = dx.shape[1]
    n, c = item // channels, item % channels
    source, target = dy[n, c], dx[n, c]
    target[:] = 0
    for p in range(P):
        top = p * stride[0] - padding[0]
        for q in range(Q):
            left = q * stride[1] - padding[1]
            share = source[p * y_pitch + q] / source.dtype.type(R * S)
            for i in range(max(top, 0), min(top + R, H)):
                for j in range(max(left, 0), min(left + S, W)):
                    target[i * pitch + j] += share


@compiled
def plane_means(x: Any, vectors: int, pixels: int, y: Any) -> None:
    """y[n, c] = the mean of a plane; vectors: of its run; its border is zero."""
    for_each(len(x) * x.shape[1], _plane_mean, x, vectors, pixels, y)


@compiled_part
def _plane_mean(item: int, x: Any, vectors: int, pixels: int, y: Any) -> None:
    channels, plane = x.shape[1:]
    y[item // channels, item % channels] = plane_sum(x, item * plane, vectors) / pixels


@compiled
def plane_means_backward(
    dy: Any, pixels: int, run: int, mask: Any, dx: Any, accumulate: bool
) -> None:
    """dx (+)= dy / pixels at every pixel of the plane."""
    for_each(len(dx) * dx.shape[1], _fill_plane, dy, pixels, run, mask, dx, accumulate)


@compiled_part
def _fill_plane(
    item: int, dy: Any, pixels: int, run: int, mask: Any, dx: Any, accumulate: bool
) -> None:
    n, c = item // dx.shape[1], item % dx.shape[1]
    target, share = dx[n, c], dy[n, c] / dy.dtype.type(pixels)
    zero = dy.dtype.type(0)
    for i in range(run):
        added = share if mask[i] else zero
        target[i] = target[i] + added if accumulate else added
