"""Plans for the Winograd kernels: which layers they suit, and their tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.taps import Scheme, Taps
from fcpts_ref.engines.numba.convolution.winograd.correlation import (
    pack_parts,
    winograd_correlation,
)
from fcpts_ref.engines.numba.convolution.winograd.gradient import (
    combine_parts,
    winograd_weight_gradient,
)
from fcpts_ref.engines.numba.convolution.winograd.tiles import PARTS, PIECES, SIZE, SPAN, lane_order
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch, round_up
from fcpts_ref.engines.numba.simd.vectors import lanes
from fcpts_ref.engines.numba.tuning import (
    WINOGRAD_GRADIENT_PARTS,
    WINOGRAD_GRADIENT_ROWS,
    WINOGRAD_GRADIENT_TILES,
    WINOGRAD_MIN_CHANNELS,
    WINOGRAD_TILE_ROWS,
)

Array = NDArray[Any]


def suits_winograd(scheme: Scheme, geometry: Geometry, dtype: DTypeLike) -> bool:
    """Whether the kernels apply, and pay.

    3 x 3 without stride, dilation or groups, channels enough to fill tiles, and images in this
    geometry of the target (of the weight gradient: of dy) whose rows can be cut into squares, and
    into pieces of half a vector.
    """
    full = lanes(dtype)
    return (
        scheme.weight_shape[2:] == (3, 3)
        and not scheme.split
        and scheme.walk.dilation == (1, 1)
        and scheme.walk.groups == 1
        and min(scheme.weight_shape[:2]) >= WINOGRAD_MIN_CHANNELS
        and full >= 4  # shuffles are within fours of lanes
        and geometry.height % SIZE == 0
        and geometry.width % max(SIZE, full // 2) == 0
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
        self.pitch = geometry.pitch
        self.pieces, self.group = _pieces(geometry, lanes(dtype) // 2)
        self.lane_shape, self.piece_shape = (None,) * lanes(dtype), (None,) * (lanes(dtype) // 2)
        self.packed = np.zeros(
            (-(-planes // WINOGRAD_TILE_ROWS), SPAN, J // 9, SPAN, WINOGRAD_TILE_ROWS), dtype
        )
        self.packed_from = b""  # the weights: those of a dense network stay the same for long
        self.no_bias = np.zeros(planes, dtype)

    def run(
        self, weight: Array, source: Array, target: Array, bias: Array | None,
        side: Array | None, limits: Array, moments: Array,
    ) -> None:  # fmt: skip
        """As ``Correlation.dense``."""
        if (content := weight.tobytes()) != self.packed_from:
            pack_parts(weight.reshape(-1), self.positions, self.packed)
            self.packed_from = content
        winograd_correlation(
            source, target, self.packed, self.pieces, self.group, self.pitch, self.shift,
            self.no_bias if bias is None else bias, self.lane_shape, self.piece_shape,
            side is not None,
            target if side is None else side, limits, moments,
        )  # fmt: skip


class WinogradGradient:
    """The dense weight gradient by squares of pixels."""

    def __init__(self, scheme: Scheme, dtype: DTypeLike) -> None:
        target, padding = scheme.target, scheme.walk.padding
        full, (K, C) = lanes(dtype), scheme.weight_shape[:2]
        self.pieces, self.group = _pieces(target, full // 2)
        order = np.array(lane_order(full))
        table = self.pieces.reshape(-1, PIECES, 2)[:, order[:, 0]]
        table[:, :, 1] += order[:, 1]
        self.corners = table.reshape(-1, 2)
        self.pitch = target.pitch
        self.shift = padding[0] * target.pitch + padding[1]
        self.lane_shape = (None,) * full
        self.sums = PARTS, round_up(C, max(WINOGRAD_GRADIENT_ROWS, full)), round_up(K, full)

    def run(self, dy: Array, x: Array, dweight: Array, scratch: Scratch) -> None:
        """Fill dweight (K, C, 3, 3); the chunks depend on the number of images alone."""
        chunk = round_up(max(1, -(-len(dy) // WINOGRAD_GRADIENT_PARTS)), self.group)
        vectors = chunk // self.group * len(self.corners) // len(self.lane_shape)
        batch = min(vectors, max(1, WINOGRAD_GRADIENT_TILES // len(self.lane_shape)))
        sums = scratch.take((-(-len(dy) // chunk), *self.sums), dweight.dtype)
        winograd_weight_gradient(
            dy, x, self.pieces, self.corners, self.group, self.pitch, self.shift, chunk, batch,
            sums, self.lane_shape,
        )  # fmt: skip
        combine_parts(sums, dweight)


def _pieces(geometry: Geometry, length: int) -> tuple[NDArray[np.int64], int]:
    """Image within a group and first element of every piece of the first rows of squares.

    A group has as many images as give whole vectors of pieces.
    """
    rows = np.arange(0, geometry.height, SIZE)[:, np.newaxis] * geometry.pitch
    starts = (rows + np.arange(0, geometry.width, length)).reshape(-1)
    group = PIECES // math.gcd(len(starts), PIECES)
    table = [(image, start) for image in range(group) for start in starts]
    return np.array(table, np.int64), group
