"""The weight gradient of a convolution, by whichever kernel its layer suits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.correlation import Correlation
from fcpts_ref.engines.numba.convolution.dense_gradient import DenseGradient
from fcpts_ref.engines.numba.convolution.direct_gradient import DirectGradient
from fcpts_ref.engines.numba.convolution.kept_weights import KeptWeights
from fcpts_ref.engines.numba.convolution.row_plan import RowGradient
from fcpts_ref.engines.numba.convolution.sparse import add_chunks, masked_weight_gradient
from fcpts_ref.engines.numba.convolution.taps import Scheme
from fcpts_ref.engines.numba.convolution.tiling import flat_tiling
from fcpts_ref.engines.numba.convolution.winograd.plan import WinogradGradient, suits_winograd
from fcpts_ref.engines.numba.memory.layout import Scratch
from fcpts_ref.engines.numba.simd.types import static_size
from fcpts_ref.engines.numba.tuning import (
    DIRECT_GRADIENT_BYTES,
    DIRECT_GRADIENT_COLUMNS,
    FLAT_LANES,
    GRADIENT_CACHE_BYTES,
    GRADIENT_TILE_WEIGHTS,
    KEPT_GRADIENT_PARTS,
    TILE_ROWS,
)

Array = NDArray[Any]


class WeightGradient:
    """dweight of a table of taps, for all weights or the kept ones.

    It reads the lists of kept weights that ``forward`` makes.
    """

    def __init__(
        self,
        scheme: Scheme,
        forward: Correlation,
        images: int,
        dtype: DTypeLike,
        scratch: Scratch,
    ) -> None:
        source, target, taps = scheme.source, scheme.target, forward.taps
        self.scratch = scratch
        self.taps = taps
        self.winograd: WinogradGradient | None = None
        if suits_winograd(scheme, target, dtype):
            self.winograd = WinogradGradient(scheme, dtype)
        self.by_rows = RowGradient(forward.rows) if forward.rows else None
        self.tiling = flat_tiling(target, dtype)
        self.kept_tiling = self.tiling._replace(N_VECTORS=static_size(GRADIENT_TILE_WEIGHTS))
        itemsize = np.dtype(dtype).itemsize
        channels = scheme.weight_shape[1] * len(taps.offsets) * scheme.components
        direct = (
            self.tiling.lanes_per_pixel(target) <= FLAT_LANES
            and taps.offsets.shape[1] <= DIRECT_GRADIENT_COLUMNS
            and itemsize * channels * source.plane <= DIRECT_GRADIENT_BYTES
        )
        self.by_pixels: DirectGradient | DenseGradient | None = None
        if self.blocked and not self.winograd and direct:
            self.by_pixels = DirectGradient(taps, self.tiling, images, scratch)
        elif self.blocked and not self.winograd:
            self.by_pixels = DenseGradient(taps, target, images, dtype, scratch)
        image_bytes = itemsize * (taps.channels * target.plane + channels * source.plane)
        self.kept_chunk = max(1, GRADIENT_CACHE_BYTES // image_bytes)

    @property
    def rows(self) -> int:
        """Output channels that read the same inputs."""
        return self.taps.rows

    @property
    def blocked(self) -> bool:
        """Whether there are enough of them for the dense kernel."""
        return self.rows >= TILE_ROWS

    def dense(self, dy: Array, source: Array, dweight: Array) -> None:
        """Every weight; dweight: as the weight."""
        if self.winograd is not None:
            self.winograd.run(dy, source, dweight, self.scratch)
            return
        assert self.by_pixels is not None, "few output channels go by the list of their weights"
        self.by_pixels.run(dy, source, dweight)

    def masked(self, kept: KeptWeights, dy: Array, source: Array, dweight: Array) -> None:
        """The listed weights; zero elsewhere."""
        if self.by_rows is not None:
            self.by_rows.run(kept, dy, source, dweight)
            return
        images = dy.shape[0]
        chunk = max(1, min(self.kept_chunk, -(-images // KEPT_GRADIENT_PARTS)))
        chunks = max(1, -(-images // chunk))
        shape = chunks, *kept.offsets.shape
        partial = self.scratch.take(shape, dweight.dtype, "gradient")
        masked_weight_gradient(dy, source, kept, self.kept_tiling, chunk, partial)
        add_chunks(partial, kept, dweight.reshape(-1))
