"""Copies between a buffer and its phases, for strides and odd geometries.

Phase (a, b) of an image padded by (top, left) is its rows a, a + down, a + 2 down, ... and
columns b, b + right, ...: in the phases a convolution with stride (down, right) steps by 1.
"""

from __future__ import annotations

from typing import Any

from numba import prange
from numpy.typing import DTypeLike

from .compilation import compiled, compiled_parallel
from .vectors import add, lanes, load_as, load_lanes, load_pairs, store, zip_lanes


@compiled_parallel
def split_phases(
    x: Any, size: Any, pitch: int, stride: Any, padding: Any,
    phases: Any, phase_size: Any, phase_pitch: int, lane_shape: Any,
) -> None:  # fmt: skip
    """phases[n, (a, b, c), i, j] = padded x[n, c, a + i down, b + j right].

    x: (N, C, PLANE) with images of size (H, W); phases: (N, down right C, PLANE), whose rows
    and columns outside the padded image are and stay zero.  lane_shape: a tuple as long as the
    vectors that ``even_lanes`` allows, or None.
    """
    for n in prange(len(x)):
        if lane_shape is None:
            _split_image(x[n], size, pitch, stride, padding, phases[n], phase_size, phase_pitch)
        else:
            _split_even_image(
                x[n], size, pitch, stride, padding, phases[n], phase_pitch, lane_shape
            )


@compiled_parallel
def merge_phases(
    phases: Any, phase_size: Any, phase_pitch: int, stride: Any, padding: Any,
    x: Any, size: Any, pitch: int, accumulate: bool, lane_shape: Any,
) -> None:  # fmt: skip
    """The way back: each pixel of x (+)= its place in the phases; zero if it has none."""
    for n in prange(len(x)):
        if lane_shape is None:
            _merge_image(
                phases[n], phase_size, phase_pitch, stride, padding, x[n], size, pitch, accumulate
            )
        else:
            _merge_even_image(
                phases[n], phase_pitch, stride, padding, x[n], size, pitch, accumulate, lane_shape
            )


def even_lanes(
    size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
    phase_size: tuple[int, int], dtype: DTypeLike,
) -> int | None:  # fmt: skip
    """Lanes of the vectors that halves of rows fill, at steps of 2 that reach every pixel.

    Half a register, whatever the width: a variant for each would have to be compiled.
    """
    half = lanes(dtype) // 2
    whole = (
        half > 1
        and stride[1] == 2
        and size[1] % (2 * half) == 0
        and (size[0] - 1 + padding[0]) // stride[0] < phase_size[0]
        and (padding[1] + 1) // 2 + size[1] // 2 <= phase_size[1]
    )
    return half if whole else None


@compiled
def _split_image(
    x: Any, size: Any, pitch: int, stride: Any, padding: Any,
    phases: Any, phase_size: Any, phase_pitch: int,
) -> None:  # fmt: skip
    for a in range(stride[0]):
        for b in range(stride[1]):
            top, bottom = _inside(a, stride[0], padding[0], size[0], phase_size[0])
            first, last = _inside(b, stride[1], padding[1], size[1], phase_size[1])
            for c in range(len(x)):
                plane = (a * stride[1] + b) * len(x) + c
                for i in range(top, bottom):
                    row = i * phase_pitch
                    at = (a + i * stride[0] - padding[0]) * pitch + b - padding[1]
                    for j in range(first, last):
                        phases[plane, row + j] = x[c, at + j * stride[1]]


@compiled
def _merge_image(
    phases: Any, phase_size: Any, phase_pitch: int, stride: Any, padding: Any,
    x: Any, size: Any, pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    if not accumulate:
        x[:] = 0
    for a in range(stride[0]):
        for b in range(stride[1]):
            top, bottom = _inside(a, stride[0], padding[0], size[0], phase_size[0])
            first, last = _inside(b, stride[1], padding[1], size[1], phase_size[1])
            for c in range(len(x)):
                plane = (a * stride[1] + b) * len(x) + c
                for i in range(top, bottom):
                    row = i * phase_pitch
                    at = (a + i * stride[0] - padding[0]) * pitch + b - padding[1]
                    for j in range(first, last):
                        x[c, at + j * stride[1]] += phases[plane, row + j]


@compiled
def _split_even_image(
    x: Any, size: Any, pitch: int, stride: Any, padding: Any,
    phases: Any, phase_pitch: int, lane_shape: Any,
) -> None:  # fmt: skip
    """``_split_image`` for steps of 2 along rows whose halves fill vectors."""
    left = padding[1]
    for c in range(len(x)):
        for p in range(size[0]):
            i, a = (p + padding[0]) // stride[0], (p + padding[0]) % stride[0]
            even, odd = _row_starts(a, i, left, c, len(x), phase_pitch)
            for m in range(0, size[1] // 2, len(lane_shape)):
                pairs = load_pairs(x[c], p * pitch + 2 * m, lane_shape)
                store(phases[even[0]], even[1] + m, pairs[0])
                store(phases[odd[0]], odd[1] + m, pairs[1])


@compiled
def _merge_even_image(
    phases: Any, phase_pitch: int, stride: Any, padding: Any,
    x: Any, size: Any, pitch: int, accumulate: bool, lane_shape: Any,
) -> None:  # fmt: skip
    """``_merge_image`` for steps of 2 along rows whose halves fill vectors."""
    left, length = padding[1], len(lane_shape)
    for c in range(len(x)):
        for p in range(size[0]):
            i, a = (p + padding[0]) // stride[0], (p + padding[0]) % stride[0]
            even, odd = _row_starts(a, i, left, c, len(x), phase_pitch)
            for m in range(0, size[1] // 2, length):
                low, high = zip_lanes(
                    load_lanes(phases[even[0]], even[1] + m, lane_shape),
                    load_lanes(phases[odd[0]], odd[1] + m, lane_shape),
                )
                at = p * pitch + 2 * m
                if accumulate:
                    low = add(low, load_as(low, x[c], at))
                    high = add(high, load_as(high, x[c], at + length))
                store(x[c], at, low)
                store(x[c], at + length, high)


@compiled
def _row_starts(a: int, i: int, left: int, c: int, channels: int, pitch: int) -> Any:
    """Plane and element of the phases where the even and the odd pixels of a row begin."""
    even = (a * 2 + left % 2) * channels + c, i * pitch + left // 2
    odd = (a * 2 + (left + 1) % 2) * channels + c, i * pitch + (left + 1) // 2
    return even, odd


@compiled
def _inside(start: int, step: int, padding: int, size: int, limit: int) -> Any:
    """The range of i < limit with 0 <= start + i step - padding < size."""
    first = max(0, -((start - padding) // step))
    last = min(limit, (size + padding - start + step - 1) // step)
    return first, last
