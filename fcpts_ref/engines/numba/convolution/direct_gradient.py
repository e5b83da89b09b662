"""The gradient of all weights from pixels where they stand, for images that stay in a cache.

Lanes are pixels: a register tile holds the products of some channels of dy and some columns of the
table, whose lanes are summed at the end.  Nothing is transposed (see ``dense_gradient``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.convolution.dense_gradient import add_parts
from fcpts_ref.engines.numba.convolution.taps import Taps
from fcpts_ref.engines.numba.convolution.tiling import Tiling
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.memory.layout import Scratch, round_up
from fcpts_ref.engines.numba.simd.register_tiles import dot_products, take, zero_tile
from fcpts_ref.engines.numba.simd.vectors import sum_lanes
from fcpts_ref.engines.numba.tuning import GRADIENT_PANEL_SHARES, TILE_ROWS

Array = NDArray[Any]


class DirectGradient:
    """The gradient of a table of at least TILE_ROWS rows."""

    def __init__(self, taps: Taps, tiling: Tiling, images: int, scratch: Scratch) -> None:
        """tiling: of the planes of dy, in adjacent vectors."""
        J, width = taps.offsets.shape[1], len(tiling.N_VECTORS)
        shares = len(taps.offsets) * -(-taps.rows // TILE_ROWS)
        self.parts = max(1, min(-(-GRADIENT_PANEL_SHARES // shares), images))
        self.offsets = np.zeros((len(taps.offsets), round_up(J, width)), np.int64)
        self.offsets[:, :J] = taps.offsets
        self.taps, self.tiling, self.scratch = taps, tiling, scratch

    def run(self, dy: Array, source: Array, dweight: Array) -> None:
        """Fill dweight, of the shape of the weight."""
        taps = self.taps
        shape = self.parts, taps.channels, self.offsets.shape[1]
        partial = self.scratch.take(shape, dweight.dtype, "gradient")
        direct_weight_gradient(dy, source, self.offsets, taps.rows, self.tiling, partial)
        add_parts(partial, taps, dweight.reshape(-1))


@compiled
def direct_weight_gradient(
    dy: Any, source: Any, offsets: Any, rows: int, tiling: Any, partial: Any
) -> None:
    """partial[i, g * rows + m, j] = sum over the images of part i of dy * source at offsets[g, j].

    offsets: (G, J), J a multiple of the tile's columns.  dy is zero beside its pixels, so whatever
    the source has there does not count.

    Threads share the blocks of TILE_ROWS output channels, the last one moved back to end with the
    last channel, and parts of the images, whose number does not depend on the threads.
    """
    blocks = (rows + TILE_ROWS - 1) // TILE_ROWS
    for_each(
        len(offsets) * blocks * len(partial), _gradient_of_block,
        blocks, dy, source, offsets, rows, tiling, partial,
    )  # fmt: skip


@compiled_part
def _gradient_of_block(
    item: int, blocks: int, dy: Any, source: Any, offsets: Any, rows: int, tiling: Any,
    partial: Any,
) -> None:  # fmt: skip
    images, K, dy_plane = dy.shape
    plane, width, L = source.shape[1] * source.shape[2], len(tiling.N_VECTORS), len(tiling.LANES)
    part, g, block = (
        item % len(partial),
        item // len(partial) // blocks,
        item // len(partial) % blocks,
    )
    begin, end = part * images // len(partial), (part + 1) * images // len(partial)
    m0 = min(block * TILE_ROWS, rows - TILE_ROWS)
    for j0 in range(0, offsets.shape[1], width):
        shifts = take(offsets, g * offsets.shape[1] + j0, tiling.N_VECTORS)
        tile = zero_tile(source, tiling.N_VECTORS, TILE_ROWS, tiling.LANES)
        for n in range(begin, end):
            at_dy, at_source = (n * K + g * rows + m0) * dy_plane, n * plane
            for v in range(tiling.vectors):
                tile = dot_products(
                    tile, dy, at_dy + v * L, dy_plane, source, at_source + v * L, shifts
                )
        for i, value in enumerate(tile):
            row = m0 + i // width
            if row >= block * TILE_ROWS:
                partial[part, g * rows + row, j0 + i % width] = sum_lanes(value)
