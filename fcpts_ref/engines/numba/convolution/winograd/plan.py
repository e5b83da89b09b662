"""Plans for the Winograd kernels: which layers they suit, and their tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.epilogue import Epilogue
from fcpts_ref.engines.numba.convolution.taps import Scheme, Taps
from fcpts_ref.engines.numba.convolution.winograd.correlation import winograd_correlation
from fcpts_ref.engines.numba.convolution.winograd.filters import pack_filters
from fcpts_ref.engines.numba.convolution.winograd.gradient import (
    combine_sums,
    winograd_weight_gradient,
)
from fcpts_ref.engines.numba.convolution.winograd.tiles import (
    COEFFICIENTS,
    SIZE,
    SPAN,
    STRIPS,
    lane_order,
)
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch, round_up
from fcpts_ref.engines.numba.simd.types import StaticSize, lanes, static_size
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

    3 x 3 without stride, dilation or groups, channels enough to fill register tiles, and images in
    this geometry of the target (of the weight gradient: of dy) whose rows divide into tiles, and
    into strips of half a vector.
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


class Grid(NamedTuple):
    """The tiles of images, as kernels take it.

    strips (vectors * STRIPS, 2): the image within a group and the first element of every strip of
    the output; group: images that give whole vectors of tiles; pitch: of source and target; shift:
    elements from an output pixel back to the first input pixel of its filter.  Static sizes: LANES
    of a vector, HALF_LANES of a strip.
    """

    strips: NDArray[np.int64]
    group: int
    pitch: int
    shift: int
    LANES: StaticSize
    HALF_LANES: StaticSize


@dataclass
class PackedWeights:
    """A place for weights as a dense kernel takes them, while they stay the same."""

    filters: Array | None = None


class WinogradCorrelation:
    """``Correlation`` by tiles of pixels."""

    def __init__(
        self, taps: Taps, geometry: Geometry, dtype: DTypeLike, backward: bool, scratch: Scratch
    ) -> None:
        """geometry: of the target."""
        positions = taps.columns.reshape(-1, 3, 3)
        if backward:  # the filter is rotated: its last element meets the first pixel
            positions = positions[:, ::-1, ::-1]
        self.positions, self.pace = np.ascontiguousarray(positions), taps.pace
        self.scratch, self.dtype = scratch, dtype
        shift = -int(taps.offsets.min())  # of channel 0, which comes first
        self.grid = _grid(geometry, shift, dtype)
        blocks, channels = -(-taps.rows // WINOGRAD_TILE_ROWS), len(positions)
        self.outputs = taps.rows
        self.shape = blocks, SPAN, channels, SPAN, WINOGRAD_TILE_ROWS

    def run(
        self,
        weight: Array,
        source: Array,
        target: Array,
        epilogue: Epilogue,
        sums: Array,
        packed: PackedWeights | None,
    ) -> None:
        """As ``Correlation.dense``."""
        filters = packed.filters if packed else None
        if filters is None:
            filters = (
                np.empty(self.shape, self.dtype)
                if packed
                else self.scratch.take(self.shape, self.dtype, "weights")
            )
            pack_filters(weight.reshape(-1), self.positions, self.pace, self.outputs, filters)
        if packed:
            packed.filters = filters
        winograd_correlation(source, target, filters, self.grid, epilogue, sums)


class WinogradGradient:
    """The dense weight gradient by tiles of pixels."""

    def __init__(self, scheme: Scheme, dtype: DTypeLike) -> None:
        target, padding = scheme.target, scheme.walk.padding
        full, (K, C) = lanes(dtype), scheme.weight_shape[:2]
        self.grid = _grid(target, padding[0] * target.pitch + padding[1], dtype)
        order = np.array(lane_order(full))
        table = self.grid.strips.reshape(-1, STRIPS, 2)[:, order[:, 0]]
        table[:, :, 1] += order[:, 1]
        self.corners = table.reshape(-1, 2)
        self.sums = COEFFICIENTS, round_up(C, max(WINOGRAD_GRADIENT_ROWS, full)), round_up(K, full)

    def run(self, dy: Array, x: Array, dweight: Array, scratch: Scratch) -> None:
        """Fill dweight (K, C, 3, 3); the chunks depend on the number of images alone."""
        group, full = self.grid.group, len(self.grid.LANES)
        chunk = round_up(max(1, -(-len(dy) // WINOGRAD_GRADIENT_PARTS)), group)
        vectors = chunk // group * len(self.corners) // full
        batch = min(vectors, max(1, WINOGRAD_GRADIENT_TILES // full))
        sums = scratch.take((-(-len(dy) // chunk), *self.sums), dweight.dtype)
        winograd_weight_gradient(dy, x, self.grid, self.corners, chunk, batch, sums)
        combine_sums(sums, dweight)


def _grid(geometry: Geometry, shift: int, dtype: DTypeLike) -> Grid:
    """The strips of the first rows of tiles of a group of images."""
    full = lanes(dtype)
    rows = np.arange(0, geometry.height, SIZE)[:, np.newaxis] * geometry.pitch
    starts = (rows + np.arange(0, geometry.width, full // 2)).reshape(-1)
    group = STRIPS // math.gcd(len(starts), STRIPS)
    table = [(image, start) for image in range(group) for start in starts]
    strips = np.array(table, np.int64)
    sizes = static_size(full), static_size(full // 2)
    return Grid(strips, group, geometry.pitch, shift, *sizes)
