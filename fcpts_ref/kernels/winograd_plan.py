"""Plans for the two Winograd kernels: which layers they suit, and their tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .convolution_taps import Scheme, Taps
from .convolution_winograd import (
    pack_winograd_weights,
    winograd_correlation,
)
from .layout import Geometry, Scratch, keep_mask, round_up
from .vectors import REGISTERS, lanes, row_lanes
from .winograd_gradient import PARTS as SQUARE_PARTS
from .winograd_gradient import ROWS, combine_parts, winograd_weight_gradient
from .winograd_tiles import PAIR_ROWS, PARTS

Array = NDArray[Any]

CHUNKS = 8  # of images at most, whose weight gradients are summed apart


def suits_winograd(scheme: Scheme, planes: int, geometry: Geometry, dtype: DTypeLike) -> bool:
    """Whether the kernels apply, and pay, for an output of this geometry and number of planes.

    3 x 3, no stride, dilation or groups, an even number of rows, enough planes for a tile, and
    a width that fills the vectors (which also keeps them within the plane).
    """
    return (
        _plain(scheme)
        and geometry.height % 2 == 0
        and geometry.width % row_lanes(geometry.width, dtype) == 0
        and planes >= 2 * PAIR_ROWS
    )


def suits_winograd_gradient(scheme: Scheme) -> bool:
    """The same for the weight gradient: its lanes are channels, so there must be some."""
    least = min(scheme.weight_shape[:2])
    even = scheme.target.height % 2 == 0 and scheme.target.width % 2 == 0
    return _plain(scheme) and even and least >= ROWS


def _plain(scheme: Scheme) -> bool:
    """3 x 3 without stride, dilation or groups."""
    return (
        scheme.weight_shape[2:] == (3, 3)
        and not scheme.split
        and scheme.walk.dilation == (1, 1)
        and scheme.walk.groups == 1
    )


class WinogradTable:
    """The taps of a 3 x 3 correlation as columns (channel, s) of filter columns (g0, g1, g2).

    positions (PLANES, COLUMNS, 3): of g0, g1, g2 in the flat weight; offsets (COLUMNS,): from
    an output pixel to input row d0.
    """

    def __init__(self, taps: Taps, backward: bool) -> None:
        planes, J = taps.positions.shape[1:]
        positions = taps.positions.reshape(planes, J // 9, 3, 3)
        offsets = taps.offsets.reshape(J // 9, 3, 3)
        if backward:  # the filter is turned round: its last row meets the first input row
            positions, offsets = positions[:, :, ::-1], offsets[:, ::-1]
        columns = positions.swapaxes(2, 3).reshape(planes, J // 3, 3)
        self.positions = np.ascontiguousarray(columns)
        self.offsets = np.ascontiguousarray(offsets[:, 0]).reshape(-1)


class WinogradCorrelation:
    """``Correlation`` by pairs of rows."""

    def __init__(self, table: WinogradTable, geometry: Geometry, dtype: DTypeLike) -> None:
        """geometry: of the target."""
        self.table = table
        self.size = (geometry.height, geometry.width, geometry.pitch)
        self.lane_shape = (0,) * row_lanes(geometry.width, dtype)
        planes, columns, _ = table.positions.shape
        blocks = -(-planes // PAIR_ROWS)
        self.packed = np.zeros((blocks, columns, PARTS, PAIR_ROWS), dtype)
        self.mask = keep_mask(Geometry(1, geometry.width, 0, geometry.pitch), dtype)
        self.no_bias = np.zeros(planes, dtype)

    def run(
        self, weight: Array, source: Array, target: Array, bias: Array | None,
        side: Array | None, limits: Array,
    ) -> None:  # fmt: skip
        """target = the correlation with all weights + bias (PLANES,) (+ side), cut off."""
        pack_winograd_weights(weight.reshape(-1), self.table.positions, self.packed)
        winograd_correlation(
            source, target, self.packed, self.table.offsets, self.size,
            self.no_bias if bias is None else bias, self.mask, self.lane_shape,
            side is not None, target if side is None else side, limits,
        )  # fmt: skip


class WinogradGradient:
    """The dense weight gradient by squares of pixels."""

    def __init__(self, scheme: Scheme, dtype: DTypeLike) -> None:
        target, padding = scheme.target, scheme.walk.padding
        self.size = (target.height, target.width, target.pitch)
        self.shift = padding[0] * target.pitch + padding[1]
        full, (planes, channels) = lanes(dtype), scheme.weight_shape[:2]
        vectors = -(-planes // full)
        self.shape = (0,) * (2 if REGISTERS >= 32 and vectors % 2 == 0 else 1)
        self.lane_shape = (0,) * full
        self.sums = (SQUARE_PARTS, round_up(channels, max(ROWS, full)), vectors * full)

    def run(self, dy: Array, x: Array, dweight: Array, scratch: Scratch) -> None:
        """Fill dweight (K, C, 3, 3); the chunks depend on the number of images alone."""
        chunk = max(1, -(-len(dy) // CHUNKS))
        sums = scratch.take((-(-len(dy) // chunk), *self.sums), dweight.dtype)
        winograd_weight_gradient(
            dy, x, self.size, self.shift, chunk, sums, self.shape, self.lane_shape
        )  # fmt: skip
        combine_parts(sums, dweight)
