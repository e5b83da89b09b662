"""Depthwise convolution whose columns go by twos, without polyphase components.

With one channel in a group nothing repays a copy of the input: here each vector of outputs reads
pairs of pixels where they stand and drops every second one.  Forward only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.epilogue import Epilogue, finished
from fcpts_ref.engines.numba.convolution.kept_weights import KeptList, KeptWeights
from fcpts_ref.engines.numba.convolution.taps import Scheme, Taps
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.memory.layout import Geometry, make_geometry, pixel_mask
from fcpts_ref.engines.numba.pointwise.partial_sums import plane_sums
from fcpts_ref.engines.numba.simd.register_tiles import broadcast_as, load_pairs, zero_tile
from fcpts_ref.engines.numba.simd.types import StaticSize, lanes, static_size
from fcpts_ref.engines.numba.simd.vectors import multiply_add, store_first

Array = NDArray[Any]

STEP = 2
"""Columns from a window to the next one, as ``load_pairs`` takes them."""


class Rows(NamedTuple):
    """The rows of the output: ``height`` rows of ``width`` pixels, ``pitch`` apart.

    step: elements of the input from the row of one window to that of the next.  Static sizes: ONE,
    and LANES of a vector.
    """

    height: int
    width: int
    pitch: int
    step: int
    ONE: StaticSize
    LANES: StaticSize


class StridedDepthwise:
    """One such layer on buffers of a geometry; border: of its output."""

    def __init__(self, source: Geometry, scheme: Scheme, border: int, dtype: DTypeLike) -> None:
        height, width = scheme.target.height, scheme.target.width
        self.target = make_geometry(height, width, border)
        step = scheme.walk.stride[0] * source.pitch
        ones, full = static_size(1), static_size(lanes(dtype))
        self.rows = Rows(height, width, self.target.pitch, step, ones, full)
        self.mask = pixel_mask(self.target, dtype)
        self.kept = KeptList(window_taps(source, scheme), dtype)

    def run(
        self,
        kept: KeptWeights,
        source: Array,
        target: Array,
        epilogue: Epilogue,
        sums: Array | None = None,
    ) -> None:
        """As ``Correlation.masked``."""
        strided_depthwise(source, target, kept, self.rows, epilogue)
        if sums is not None:
            plane_sums(target, self.mask, self.rows.height * self.rows.width, sums)


def suits_depthwise(source: Geometry, scheme: Scheme, dtype: DTypeLike) -> bool:
    """Whether the kernel applies: the zeros around the images must hold the padding."""
    top, left, bottom, right = scheme.walk.padding
    return (
        scheme.walk.stride[1] == STEP
        and scheme.walk.groups == scheme.weight_shape[0]
        and scheme.weight_shape[1] == 1
        and source.border >= max(top, bottom)
        and source.pitch >= source.width + max(left, right)
        and lanes(dtype) > 1
    )


def window_taps(source: Geometry, scheme: Scheme) -> Taps:
    """The table: offsets of a window's pixels from its place, in the input as it stands."""
    K, _, R, S = scheme.weight_shape
    (d, e), (top, left, *_) = scheme.walk.dilation, scheme.walk.padding
    rows, columns = d * np.arange(R)[:, np.newaxis] - top, e * np.arange(S) - left
    shifts = (rows * source.pitch + columns).reshape(-1)
    offsets = np.arange(K)[:, np.newaxis] * source.plane + shifts
    positions = np.arange(K * R * S).reshape(K, R * S)
    return Taps.narrow(offsets, np.full(K, R * S), positions, 1, R * S)


@compiled
def strided_depthwise(source: Any, target: Any, kept: Any, rows: Any, epilogue: Any) -> None:
    """target[n, k, p, q] = sum over the kept weights of k: value * source at its pixel.

    source: (N, K, PLANE); target: (N, K, PLANE); kept: ``KeptWeights``; rows: ``Rows``.
    Threads share the planes.
    """
    for_each(len(target) * target.shape[1], _correlate_plane, source, target, kept, rows, epilogue)


@compiled_part
def _correlate_plane(
    item: int, source: Any, target: Any, kept: Any, rows: Any, epilogue: Any
) -> None:
    channels, plane = source.shape[1:]
    n, k = item // channels, item % channels
    L, row = len(rows.LANES), k * kept.offsets.shape[1]
    for p in range(rows.height):
        for q in range(0, rows.width, L):
            at = n * channels * plane + p * rows.step + STEP * q
            (total,) = zero_tile(source, rows.ONE, 1, rows.LANES)
            for e in range(row, row + kept.counts[k]):
                pixels, _ = load_pairs(source, at + kept.offsets.flat[e], rows.LANES)
                total = multiply_add(broadcast_as(total, kept.values, e), pixels, total)
            here = item * target.shape[2] + p * rows.pitch + q
            total = finished(total, epilogue, k, here)
            store_first(target, here, total, min(L, rows.width - q))
