"""Max, average and global average pooling over (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.convolution import Pair, as_pair, output_size

Array = NDArray[Any]


def max_pool_forward(
    x: Array, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[Array, tuple[Any, ...]]:
    """The maximum of each window; stride defaults to the kernel; padding is -infinity.

    Of equal pixels the first in row-major order counts as the maximum; NaN propagates.
    x: (N, C, H, W), real.  Returns y (N, C, P, Q) and the cache.
    Raises InputError for a window that does not fit, or padding above half the kernel.
    """
    windows, walk = _windows(x, kernel, stride, padding, fill=-np.inf)
    R, S = walk[0]
    flat = windows.reshape(*windows.shape[:4], R * S)  # (N, C, P, Q, R S)
    winner = flat.argmax(axis=-1)  # NumPy's argmax: the first of equals, and NaN over all
    y = np.take_along_axis(flat, winner[..., np.newaxis], axis=-1)[..., 0]
    return y, (x.shape, winner, walk)


def max_pool_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: each dy is added to the pixel that was its window's maximum.  dy: (N, C, P, Q)."""
    x_shape, winner, walk = cache
    _, S = walk[0]
    taps = (
        (r, s, np.where(winner == r * S + s, dy, dy.dtype.type(0)))
        for r in range(walk[0][0])
        for s in range(S)
    )
    return _scatter(taps, x_shape, walk, dy)


def average_pool_forward(
    x: Array, *, kernel: Pair, stride: Pair | None = None, padding: Pair = 0
) -> tuple[Array, tuple[Any, ...]]:
    """The mean of each window; stride defaults to the kernel; padding counts as zeros.

    x: (N, C, H, W).  Returns y (N, C, P, Q) and the cache.
    Raises InputError for a window that does not fit, or padding above half the kernel.
    """
    windows, walk = _windows(x, kernel, stride, padding, fill=0)
    return windows.mean(axis=(4, 5)), (x.shape, walk)


def average_pool_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: each dy is distributed evenly over its window.  dy: (N, C, P, Q)."""
    x_shape, walk = cache
    R, S = walk[0]
    share = dy / dy.dtype.type(R * S)
    return _scatter(((r, s, share) for r in range(R) for s in range(S)), x_shape, walk, dy)


def global_average_pool_forward(x: Array) -> tuple[Array, tuple[Any, ...]]:
    """The mean over all pixels: (N, C, H, W) -> (N, C).  Returns y and the cache."""
    if x.ndim != 4 or x.shape[2] * x.shape[3] == 0:
        raise InputError(f"global pooling got x {x.shape}; expected (N, C, H, W) with pixels")
    return x.mean(axis=(2, 3)), (x.shape,)


def global_average_pool_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx (N, C, H, W): each dy is distributed evenly over all pixels.  dy: (N, C)."""
    (x_shape,) = cache
    pixels = dy.dtype.type(x_shape[2] * x_shape[3])
    return np.broadcast_to((dy / pixels)[:, :, np.newaxis, np.newaxis], x_shape).copy()


def _windows(
    x: Array, kernel: Pair, stride: Pair | None, padding: Pair, *, fill: float
) -> tuple[Array, tuple[tuple[int, int], ...]]:
    """The windows (N, C, P, Q, R, S), a view of the padded x, and (kernel, stride, padding)."""
    (R, S), (top, left) = as_pair(kernel), as_pair(padding)
    down, right = as_pair(kernel if stride is None else stride)
    if x.ndim != 4 or min(R, S, down, right) < 1 or not (0 <= 2 * top <= R and 0 <= 2 * left <= S):
        raise InputError(
            f"pooling got x {x.shape}, kernel {kernel}, stride {stride}, padding {padding}; "
            "expected (N, C, H, W), kernel and stride >= 1 and padding of at most half the kernel"
        )
    output_size(x.shape[2], R, down, top)
    output_size(x.shape[3], S, right, left)
    pads = ((0, 0), (0, 0), (top, top), (left, left))
    padded = np.pad(x, pads, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(padded, (R, S), axis=(2, 3))
    return view[:, :, ::down, ::right], ((R, S), (down, right), (top, left))


def _scatter(
    taps: Any, x_shape: tuple[int, ...], walk: tuple[tuple[int, int], ...], dy: Array
) -> Array:
    """Sum the contributions (r, s, dy) of all taps to dx; those to the padding are dropped."""
    _, (down, right), (top, left) = walk
    (N, C, H, W), (P, Q) = x_shape, dy.shape[2:]
    dx = np.zeros((N, C, H + 2 * top, W + 2 * left), dtype=dy.dtype)
    for r, s, share in taps:
        dx[:, :, r : r + P * down : down, s : s + Q * right : right] += share
    return dx[:, :, top : top + H, left : left + W]
