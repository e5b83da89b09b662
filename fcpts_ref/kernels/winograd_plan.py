"""Plans for the Winograd kernels: which layers they suit, and their tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .convolution_taps import Scheme, Taps
from .layout import Geometry, Scratch, keep_mask, round_up
from .vectors import lanes
from .winograd import ROWS, pack_parts, winograd_correlation
from .winograd_gradient import combine_parts, winograd_weight_gradient
from .winograd_parts import PARTS

Array = NDArray[Any]

CHUNKS = 8  # of images at most, whose weight gradients are summed apart


def suits_winograd(scheme: Scheme) -> bool:
    """Whether the kernels apply, and pay.

    3 x 3 without stride, dilation or groups, even numbers of rows and columns, and channels
    enough to fill lanes.
    """
    return (
        scheme.weight_shape[2:] == (3, 3)
        and not scheme.split
        and scheme.walk.dilation == (1, 1)
        and scheme.walk.groups == 1
        and scheme.target.height % 2 == 0
        and scheme.target.width % 2 == 0
        and scheme.source.height % 2 == 0
        and scheme.source.width % 2 == 0
        and min(scheme.weight_shape[:2]) >= ROWS
    )


class WinogradCorrelation:
    """``Correlation`` by squares of pixels."""

    def __init__(self, taps: Taps, geometry: Geometry, dtype: DTypeLike, backward: bool) -> None:
        """geometry: of the target."""
        planes, J = taps.positions.shape[1:]
        positions = taps.positions.reshape(planes, J // 9, 3, 3)
        offsets = taps.offsets
        if backward:  # the filter is turned round: its last element meets the first pixel
            positions = positions[:, :, ::-1, ::-1]
        self.positions = np.ascontiguousarray(positions)
        self.shift = -int(offsets.min())  # of channel 0, which comes first
        self.geometry, self.corners = geometry, _corners(geometry)
        self.lane_shape, whole, channels = _vectors((planes, J // 9), dtype)
        self.packed = np.zeros((PARTS, channels, whole), dtype)
        self.mask = keep_mask(geometry, dtype)
        self.no_bias = np.zeros(planes, dtype)

    def run(
        self, weight: Array, source: Array, target: Array, bias: Array | None,
        side: Array | None, limits: Array,
    ) -> None:  # fmt: skip
        """target = the correlation with all weights + bias (PLANES,) (+ side), cut off."""
        pack_parts(weight.reshape(-1), self.positions, self.packed)
        winograd_correlation(
            source, target, self.packed, self.corners, self.geometry.run, self.geometry.pitch,
            self.shift, self.no_bias if bias is None else bias, self.mask,
            self.lane_shape, side is not None, target if side is None else side, limits,
        )  # fmt: skip


class WinogradGradient:
    """The dense weight gradient by squares of pixels."""

    def __init__(self, scheme: Scheme, dtype: DTypeLike) -> None:
        target, padding = scheme.target, scheme.walk.padding
        self.pitch, self.corners = target.pitch, _corners(target)
        self.shift = padding[0] * target.pitch + padding[1]
        self.lane_shape, planes, channels = _vectors(scheme.weight_shape[:2], dtype)
        self.sums = (PARTS, channels, planes)

    def run(self, dy: Array, x: Array, dweight: Array, scratch: Scratch) -> None:
        """Fill dweight (K, C, 3, 3); the chunks depend on the number of images alone."""
        chunk = max(1, -(-len(dy) // CHUNKS))
        sums = scratch.take((-(-len(dy) // chunk), *self.sums), dweight.dtype)
        winograd_weight_gradient(
            dy, x, self.corners, self.pitch, self.shift, chunk, sums, self.lane_shape
        )  # fmt: skip
        combine_parts(sums, dweight)


def _corners(geometry: Geometry) -> NDArray[np.int64]:
    """The first pixel of each 2 x 2 square."""
    rows = np.arange(0, geometry.height, 2)[:, np.newaxis] * geometry.pitch
    return (rows + np.arange(0, geometry.width, 2)).reshape(-1)


def _vectors(sizes: tuple[int, ...], dtype: DTypeLike) -> tuple[tuple[int, ...], int, int]:
    """The shape of a vector, and planes and channels rounded up to whole tiles."""
    full = lanes(dtype)
    return (0,) * full, round_up(sizes[0], full), round_up(sizes[1], max(ROWS, full))
