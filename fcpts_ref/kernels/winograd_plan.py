"""Plans for ``convolution_winograd``: which layers it suits, and its tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .convolution_taps import Scheme, Taps
from .convolution_winograd import (
    pack_winograd_weights,
    winograd_correlation,
)
from .layout import Geometry, keep_mask
from .vectors import row_lanes
from .winograd_tiles import PAIR_ROWS, PARTS

Array = NDArray[Any]


def suits_winograd(scheme: Scheme, planes: int, geometry: Geometry, dtype: DTypeLike) -> bool:
    """Whether the kernels apply, and pay, for an output of this geometry and number of planes.

    3 x 3, no stride, dilation or groups, an even number of rows, enough planes for a tile, and
    a width that fills the vectors (which also keeps them within the plane).
    """
    return (
        scheme.weight_shape[2:] == (3, 3)
        and not scheme.split
        and scheme.walk.dilation == (1, 1)
        and scheme.walk.groups == 1
        and geometry.height % 2 == 0
        and geometry.width % row_lanes(geometry.width, dtype) == 0
        and planes >= 2 * PAIR_ROWS
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
