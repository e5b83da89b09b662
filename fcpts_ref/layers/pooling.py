"""Max, average and global average pooling over (N, C, H, W)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.layers.convolution import Pair
from fcpts_ref.layers.padding import Padding
from fcpts_ref.layers.windows import gather, make_windows, scatter

Array = NDArray[Any]


def max_pool_forward(
    x: Array,
    *,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, tuple[Any, ...]]:
    """The maximum of each window; stride defaults to the kernel; padding is -infinity.

    Of equal pixels the first in row-major order counts as the maximum; NaN propagates.
    x: (N, C, H, W), real.  ceil_mode: as in ``windows.Windows``.
    Returns y (N, C, P, Q) and the cache.
    Raises InputError for windows that do not fit or hold no pixel.
    """
    windows = make_windows(kernel, stride, padding, dilation, ceil_mode)
    pixels = gather(x, windows, fill=-np.inf)
    flat = pixels.reshape(*pixels.shape[:4], math.prod(windows.kernel))  # (N, C, P, Q, R S)
    winner = flat.argmax(axis=-1)  # NumPy's argmax: the first of equals, and NaN over all
    y = np.take_along_axis(flat, winner[..., np.newaxis], axis=-1)[..., 0]
    return y, (x.shape, winner, windows)


def max_pool_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: each dy is added to the pixel that was its window's maximum.  dy: (N, C, P, Q)."""
    x_shape, winner, windows = cache
    R, S = windows.kernel
    taps = (
        (r, s, np.where(winner == r * S + s, dy, dy.dtype.type(0)))
        for r in range(R)
        for s in range(S)
    )
    return scatter(taps, x_shape, windows, dy)


def average_pool_forward(
    x: Array,
    *,
    kernel: Pair,
    stride: Pair | None = None,
    padding: Padding = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array, tuple[Any, ...]]:
    """The mean of each window; stride defaults to the kernel.

    x: (N, C, H, W).  ceil_mode: as in ``windows.Windows``.  count_include_pad: whether padding
    counts as zeros, or not at all; what a window reaches beyond the padding never counts.
    Returns y (N, C, P, Q) and the cache.
    Raises InputError for windows that do not fit or hold no pixel.
    """
    windows = make_windows(kernel, stride, padding, dilation, ceil_mode)
    pixels = gather(x, windows, fill=0)
    rows, columns = windows.reached(x.shape[2:], padding=count_include_pad)
    counts = np.outer(rows, columns).astype(x.real.dtype)  # (P, Q)
    return pixels.sum(axis=(4, 5)) / counts, (x.shape, windows, counts)


def average_pool_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: each dy is distributed evenly over its window.  dy: (N, C, P, Q)."""
    x_shape, windows, counts = cache
    (R, S), share = windows.kernel, dy / counts.astype(dy.real.dtype)
    return scatter(((r, s, share) for r in range(R) for s in range(S)), x_shape, windows, dy)


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
