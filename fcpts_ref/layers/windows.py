"""The windows of pooling: their sizes, the pixels that they hold, and the way back.

Sizes: R x S taps of a window, P x Q windows, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.layers.convolution import Pair, as_pair, output_size
from fcpts_ref.layers.padding import Padding, Sides, as_padding, check_padded, ends

Array = NDArray[Any]
Taps = Iterable[tuple[int, int, Array]]


class Windows(NamedTuple):
    """The settings of pooling in full; pairs are vertical, then horizontal.

    ceil_mode: the number of windows is rounded up, not down.  The last window then reaches beyond
    the padding, but starts before its end.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Sides
    dilation: tuple[int, int]
    ceil_mode: bool

    def outputs(self, size: Sequence[int]) -> tuple[int, int]:
        """Return (P, Q) for images of this size (H, W).

        Raises InputError for windows that do not fit, or hold no pixel of the image.
        """
        check_padded(size, self.padding)
        P, Q = (self._along(axis, side) for axis, side in enumerate(size))
        return P, Q

    def reached(self, size: Sequence[int], *, padding: bool) -> tuple[Array, Array]:
        """Return the number of taps within the image, for each row (P,) and column (Q,) of windows.

        padding: whether taps in the padding count too.
        """
        rows, columns = (
            self._within(axis, side, outputs, padding)
            for axis, (side, outputs) in enumerate(zip(size, self.outputs(size), strict=True))
        )
        return rows, columns

    def padded(self, size: Sequence[int]) -> Sides:
        """The padding with what the last windows reach beyond it."""
        top, left, bottom, right = self.padding
        (down, across), (d, e), (R, S) = self.stride, self.dilation, self.kernel
        (H, W), (P, Q) = size, self.outputs(size)
        bottom = max(bottom, (P - 1) * down + d * (R - 1) + 1 - H - top)
        right = max(right, (Q - 1) * across + e * (S - 1) + 1 - W - left)
        return top, left, bottom, right

    def _along(self, axis: int, side: int) -> int:
        before, after = ends(self.padding)[axis]
        step, taps, spread = self.stride[axis], self.kernel[axis], self.dilation[axis]
        outputs = output_size(side, taps, step, (before, after), spread)
        if self.ceil_mode:
            rest = side + before + after - (spread * (taps - 1) + 1)
            outputs = -(-rest // step) + 1
            outputs -= (outputs - 1) * step >= side + before  # starts in the padding at the end
        if not self._within(axis, side, outputs, False).all():
            raise InputError(
                f"pooling has kernel {self.kernel}, stride {self.stride}, padding {self.padding} "
                f"and dilation {self.dilation} on a side of {counted(side, 'pixel')}; expected "
                "every window to hold a pixel: use less padding"
            )
        return outputs

    def _within(self, axis: int, side: int, outputs: int, padding: bool) -> Array:
        """How many taps of each window (P,) read the image, or its padding."""
        before, after = ends(self.padding)[axis] if padding else (0, 0)
        taps, spread = self.kernel[axis], self.dilation[axis]
        starts = np.arange(outputs) * self.stride[axis] - ends(self.padding)[axis][0]
        below, all_below = (
            np.clip(-((starts - end) // spread), 0, taps) for end in (-before, side + after)
        )  # taps before the beginning, and before the end
        return all_below - below


def make_windows(
    kernel: Pair, stride: Pair | None, padding: Padding, dilation: Pair, ceil_mode: bool
) -> Windows:
    """Check the settings of pooling and return them in full; stride None: the kernel.

    Raises InputError if one is too small.
    """
    steps = as_pair(kernel if stride is None else stride)
    windows = Windows(as_pair(kernel), steps, as_padding(padding), as_pair(dilation), ceil_mode)
    if min(*windows.kernel, *windows.stride, *windows.dilation) < 1:
        raise InputError(
            f"pooling got kernel {kernel}, stride {stride}, dilation {dilation}; expected kernel "
            "and stride >= 1 and dilation >= 1"
        )
    return windows


def gather(x: Array, windows: Windows, *, fill: float) -> Array:
    """The pixels of every window (N, C, P, Q, R, S), ``fill`` outside the image; a view.

    Raises InputError unless x is (N, C, H, W) and the windows fit.
    """
    if x.ndim != 4:
        raise InputError(f"pooling got x {x.shape}; expected (N, C, H, W)")
    top, left, bottom, right = windows.padded(x.shape[2:])
    pads = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(x, pads, constant_values=fill)
    (down, across), (d, e), (R, S) = windows.stride, windows.dilation, windows.kernel
    reach = d * (R - 1) + 1, e * (S - 1) + 1
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    P, Q = windows.outputs(x.shape[2:])
    return view[:, :, ::down, ::across, ::d, ::e][:, :, :P, :Q]


def scatter(taps: Taps, x_shape: tuple[int, ...], windows: Windows, dy: Array) -> Array:
    """Sum the contributions (r, s, dy) of all taps to dx; those outside the image are dropped."""
    (N, C, H, W), (P, Q) = x_shape, dy.shape[2:]
    top, left, bottom, right = windows.padded((H, W))
    (down, across), (d, e) = windows.stride, windows.dilation
    dx = np.zeros((N, C, top + H + bottom, left + W + right), dtype=dy.dtype)
    for r, s, share in taps:
        y0, x0 = r * d, s * e
        dx[:, :, y0 : y0 + P * down : down, x0 : x0 + Q * across : across] += share
    return dx[:, :, top : top + H, left : left + W]
