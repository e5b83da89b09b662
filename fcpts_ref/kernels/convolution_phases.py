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
                    row = (a + i * stride[0] - padding[0]) * pitch
                    start = row + b - padding[1] + first * stride[1]
                    to = phases[plane, i * phase_pitch + first : i * phase_pitch + last]
                    _spread(to, 1, x[c, start : row + size[1]], stride[1], len(to), False)


@njit(cache=True, nogil=True)
def _merge_image(
    phases: Any, phase_size: Any, phase_pitch: int, stride: Any, padding: Any,
    x: Any, size: Any, pitch: int, accumulate: bool,
) -> None:  # fmt: skip
    covered = phase_size[0] * stride[0] - padding[0], phase_size[1] * stride[1] - padding[1]
    if not accumulate and (covered[0] < size[0] or covered[1] < size[1]):
        x[:] = 0  # some pixels are in no phase
    for a in range(stride[0]):
        for b in range(stride[1]):
            top, bottom = _inside(a, stride[0], padding[0], size[0], phase_size[0])
            first, last = _inside(b, stride[1], padding[1], size[1], phase_size[1])
            for c in range(len(x)):
                plane = (a * stride[1] + b) * len(x) + c
                for i in range(top, bottom):
                    row = (a + i * stride[0] - padding[0]) * pitch
                    start = row + b - padding[1] + first * stride[1]
                    row_phases = phases[plane, i * phase_pitch + first : i * phase_pitch + last]
                    to = x[c, start : row + size[1]]
                    _spread(to, stride[1], row_phases, 1, len(row_phases), accumulate)


@njit(cache=True, nogil=True)
def _spread(to: Any, to_step: int, source: Any, step: int, count: int, accumulate: bool) -> None:
    """to[j to_step] (+)= source[j step]; steps of 2 by themselves, which compiles to vectors."""
    if accumulate:
        for j in range(count):
            to[j * to_step] += source[j * step]
    elif step == 2 and to_step == 1:
        for j in range(count):
            to[j] = source[2 * j]
    elif step == 1 and to_step == 2:
        for j in range(count):
            to[2 * j] = source[j]
    else:
        for j in range(count):
            to[j * to_step] = source[j * step]


@njit(cache=True, nogil=True)
def _inside(start: int, step: int, padding: int, size: int, limit: int) -> Any:
    """The range of i < limit with 0 <= start + i step - padding < size."""
    first = max(0, -((start - padding) // step))
    last = min(limit, (size + padding - start + step - 1) // step)
    return first, last
