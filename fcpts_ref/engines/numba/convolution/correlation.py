"""One correlation over buffers, by whichever kernel its layer suits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.dense import dense_correlation, pack_weights
from fcpts_ref.engines.numba.convolution.direct import FlatVectors, direct_correlation, flat_vectors
from fcpts_ref.engines.numba.convolution.epilogue import Epilogue
from fcpts_ref.engines.numba.convolution.kept_weights import KeptList, KeptWeights
from fcpts_ref.engines.numba.convolution.panels import Pixels, make_pixels
from fcpts_ref.engines.numba.convolution.row_plan import RowCorrelation, row_form
from fcpts_ref.engines.numba.convolution.sparse import masked_correlation
from fcpts_ref.engines.numba.convolution.taps import Scheme, Taps
from fcpts_ref.engines.numba.convolution.tiling import make_tiling
from fcpts_ref.engines.numba.convolution.winograd.plan import (
    PackedWeights,
    WinogradCorrelation,
    suits_winograd,
)
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch
from fcpts_ref.engines.numba.pointwise.partial_sums import plane_sums
from fcpts_ref.engines.numba.tuning import FLAT_LANES, TILE_ROWS

Array = NDArray[Any]

NO_SUMS = np.zeros((0, 0, 4))


class Correlation:
    """One table of taps over buffers: y from x, or dx from dy.

    target (N, K, PLANE) = sum over taps of weight * source (N, C, PLANE) shifted.

    winograd: the dense kernels where they apply; rows: the masked kernels where they apply.
    """

    def __init__(
        self,
        scheme: Scheme,
        taps: Taps,
        geometry: Geometry,
        images: int,
        dtype: DTypeLike,
        *,
        backward: bool,
        scratch: Scratch,
    ) -> None:
        """geometry: of the target.  backward: lists of weights do not outlive the call."""
        self.taps = taps
        self.winograd: WinogradCorrelation | None = None
        if suits_winograd(scheme, geometry, dtype):
            self.winograd = WinogradCorrelation(taps, geometry, dtype, backward, scratch)
        self.tiling = make_tiling(geometry, dtype, taps.offsets.shape[1])
        self.pixels = geometry.height * geometry.width
        self.scratch, blocks = scratch, -(-taps.rows // TILE_ROWS)
        self.packed = len(taps.offsets), blocks, taps.offsets.shape[1], TILE_ROWS  # shape
        units = len(taps.offsets) * blocks
        self.flat: FlatVectors | None = None
        self.panels: Pixels | None = None
        if self.tiling.lanes_per_pixel(geometry) <= FLAT_LANES:
            self.flat = flat_vectors(self.tiling, images, units)
        else:
            self.panels = make_pixels(geometry, images, units, dtype)
        form = row_form(scheme, geometry, images, dtype)
        memory = scratch if backward else None
        self.rows = RowCorrelation(scheme, form, dtype, backward, memory) if form else None
        self.kept = self.rows.kept if self.rows else KeptList(taps, dtype, memory)

    def dense(
        self,
        weight: Array,
        source: Array,
        target: Array,
        epilogue: Epilogue,
        sums: Array | None = None,
        packed: PackedWeights | None = None,
    ) -> None:
        """target = the correlation with all weights, then the epilogue.

        sums: takes the partial sums of the target (see ``partial_sums``).
        packed: holds what is derived from the weight, for later passes with the same one.
        """
        if self.winograd is not None:
            taken = NO_SUMS if sums is None else sums
            self.winograd.run(weight, source, target, epilogue, taken, packed)
            return
        weights = packed.filters if packed else None
        if weights is None:
            weights = (
                np.empty(self.packed, weight.dtype)
                if packed
                else self.scratch.take(self.packed, weight.dtype, "weights")
            )
            pack_weights(weight.reshape(-1), self.taps, weights)
        if packed:
            packed.filters = weights
        offsets, counts, rows = self.taps.offsets.reshape(-1), self.taps.counts, self.taps.rows
        if self.flat is not None:
            direct_correlation(source, target, weights, offsets, counts, rows, self.flat, epilogue)
        else:
            dense_correlation(source, target, weights, offsets, counts, rows, self.panels, epilogue)
        if sums is not None:
            plane_sums(target, self.tiling.mask, self.pixels, sums)

    def masked(
        self,
        kept: KeptWeights,
        source: Array,
        target: Array,
        epilogue: Epilogue,
        sums: Array | None = None,
    ) -> None:
        """The same with the listed weights alone (``self.kept`` makes the list)."""
        taken = NO_SUMS if sums is None else sums
        if self.rows is not None:
            self.rows.run(kept, source, target, epilogue, taken)
            return
        pixels = 0 if sums is None else self.pixels
        masked_correlation(source, target, kept, self.tiling, epilogue, pixels, taken)
