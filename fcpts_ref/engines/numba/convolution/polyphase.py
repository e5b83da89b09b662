"""Copies between a buffer and its phases, for strides and odd geometries.

Phase (a, b) of an image padded by (top, left) is its rows a, a + down, a + 2 down, ... and
columns b, b + right, ...: in the phases a convolution with stride (down, right) steps by 1.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import DTypeLike

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.simd.vectors import (
    add,
    lanes,
    load_as,
    load_lanes,
    load_pairs,
    store,
    zip_lanes,
)


@compiled
def split_phases(
    x: Any, size: Any, pitch: int, stride: Any, padding: Any,
    phases: Any, phase_size: Any, phase_pitch: int, lane_shape: Any,
) -> None:  # fmt: skip
    """phases[n, (a, b, c), i, j] = padded x[n, c, a + i down, b + j right].

    x: (N, C, PLANE) with images of size (H, W); phases: (N, down right C, PLANE), whose rows
    and columns outside the padded image are and stay zero.  lane_shape: a tuple as long as the
    vectors that ``even_lanes`` allows, or None.
    """
    if lane_shape is None:
        for_each(
            len(x), _split_image,
            x, size, pitch, stride, padding, phases, phase_size, phase_pitch,
        )  # fmt: skip
    else:
        for_each(
            len(x), _split_even_image,
            x, size, pitch, stride, padding, phases, phase_pitch, lane_shape,
        )  # fmt: skip


@compiled
def merge_phases(
    phases: Any, phase_size: Any, phase_pitch: int, stride: Any, padding: Any,
    x: Any, size: Any, pitch: int, accumulate: bool, lane_shape: Any,
) -> None:  # fmt: skip
    """The way back: each pixel of x (+)= its place in the phases; zero if it has none."""
    if lane_shape is None:
        for_each(
            len(x), _merge_image,
            phases, phase_size, phase_pitch, stride, padding, x, size, pitch, accumulate,
        )  # fmt: skip
    else:
        for_each(
            len(x), _merge_even_image,
            phases, phase_pitch, stride, padding, x, size, pitch, accumulate, lane_shape,
        )  # fmt: skip


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


@compiled_part
def _split_image(
    n: int, images: Any, size: Any, pitch: int, stride: Any, padding: Any,
    all_phases: Any, phase_size: Any, phase_pitch: int,
) -> None:  # fmt: skip
    x, phases = images[n], all_phases[n]
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


@compiled_part
def _merge_image(
    n: int, all_phases: Any, phase_size: Any, phase_pitch: int, stride: Any, padding: Any,
    images: Any, size: Any, pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    x, phases = images[n], all_phases[n]
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


@compiled_part
def _split_even_image(
    n: int, images: Any, size: Any, pitch: int, stride: Any, padding: Any,
    all_phases: Any, phase_pitch: int, lane_shape: Any,
) -> None:  # fmt: skip
    """``_split_image`` for steps of 2 along rows whose halves fill vectors."""
    x, phases, left = images[n], all_phases[n], padding[1]
    for c in range(len(x)):
        for p in range(size[0]):
            i, a = (p + padding[0]) // stride[0], (p + padding[0]) % stride[0]
            even, odd = _row_starts(a, i, left, c, len(x), phase_pitch)
            for m in range(0, size[1] // 2, len(lane_shape)):
                pairs = load_pairs(x[c], p * pitch + 2 * m, lane_shape)
                store(phases[even[0]], even[1] + m, pairs[0])
                store(phases[odd[0]], odd[1] + m, pairs[1])


@compiled_part
def _merge_even_image(
    n: int, all_phases: Any, phase_pitch: int, stride: Any, padding: Any,
    images: Any, size: Any, pitch: int, accumulate: bool, lane_shape: Any,
) -> None:  # fmt: skip
    """``_merge_image`` for steps of 2 along rows whose halves fill vectors."""
    x, phases = images[n], all_phases[n]
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


@compiled_part
def _row_starts(a: int, i: int, left: int, c: int, channels: int, pitch: int) -> Any:
    """Plane and element of the phases where the even and the odd pixels of a row begin."""
    even = (a * 2 + left % 2) * channels + c, i * pitch + left // 2
    odd = (a * 2 + (left + 1) % 2) * channels + c, i * pitch + (left + 1) // 2
    return even, odd


@compiled_part
def _inside(start: int, step: int, padding: int, size: int, limit: int) -> Any:
    """The range of i < limit with 0 <= start + i step - padding < size."""
    first = max(0, -((start - padding) // step))
    last = min(limit, (size + padding - start + step - 1) // step)
    return first, last
