"""Copies between a buffer and its phases, for strides and odd geometries.

Phase (a, b) of an image padded by (top, left) is its rows a, a + down, a + 2 down, ... and
columns b, b + right, ...: in the phases a convolution with stride (down, right) steps by 1.
"""

from __future__ import annotations

from typing import Any

from numba import njit, prange


@njit(cache=True, nogil=True, parallel=True)
def split_phases(
    x: Any, size: Any, pitch: int, stride: Any, padding: Any,
    phases: Any, phase_size: Any, phase_pitch: int,
) -> None:  # fmt: skip
    """phases[n, (a, b, c), i, j] = padded x[n, c, a + i down, b + j right].

    x: (N, C, PLANE) with images of size (H, W); phases: (N, down right C, PLANE), whose rows
    and columns outside the padded image are and stay zero.
    """
    for n in prange(len(x)):
        _split_image(x[n], size, pitch, stride, padding, phases[n], phase_size, phase_pitch)


@njit(cache=True, nogil=True, parallel=True)
def merge_phases(
    phases: Any, phase_size: Any, phase_pitch: int, stride: Any, padding: Any,
    x: Any, size: Any, pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    """The way back: each pixel of x (+)= its place in the phases; zero if it has none."""
    for n in prange(len(x)):
        _merge_image(
            phases[n], phase_size, phase_pitch, stride, padding, x[n], size, pitch, accumulate
        )


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _inside(start: int, step: int, padding: int, size: int, limit: int) -> Any:
    """The range of i < limit with 0 <= start + i step - padding < size."""
    first = max(0, -((start - padding) // step))
    last = min(limit, (size + padding - start + step - 1) // step)
    return first, last
