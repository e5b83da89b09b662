"""The two halves of a parameter-free ("option A") shortcut of a residual network.

He, Zhang, Ren and Sun (2015), section 4.2: where the width grows, the shortcut takes every other
pixel and pads the new channels with zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]


def subsample_forward(x: Array, *, stride: int) -> tuple[Array, tuple[Any, ...]]:
    """x[:, :, ::stride, ::stride].  x: (N, C, H, W).  Returns y and the cache."""
    if x.ndim != 4 or stride < 1:
        raise InputError(
            f"subsample got x {x.shape}, stride {stride}; expected (N, C, H, W) and at least 1"
        )
    return x[:, :, ::stride, ::stride].copy(), (x.shape, stride)


def subsample_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx: dy at the pixels that were taken, 0 at the others."""
    x_shape, stride = cache
    dx = np.zeros(x_shape, dtype=dy.dtype)
    dx[:, :, ::stride, ::stride] = dy
    return dx


def zero_pad_forward(x: Array, *, before: int, after: int) -> tuple[Array, tuple[Any, ...]]:
    """Pad with zero channels: (N, C, H, W) -> (N, before + C + after, H, W).

    Returns y and the cache.
    """
    if x.ndim != 4 or before < 0 or after < 0:
        raise InputError(
            f"zero_pad got x {x.shape}, before {before}, after {after}; expected (N, C, H, W) and "
            "at least 0"
        )
    return np.pad(x, ((0, 0), (before, after), (0, 0), (0, 0))), (before, x.shape[1])


def zero_pad_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx, the channels of dy that are not padding."""
    before, C = cache
    return dy[:, before : before + C].copy()
