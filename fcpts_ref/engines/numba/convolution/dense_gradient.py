"""The gradient of all weights, for layers that ``winograd`` does not suit.

Each group of the table is a product of matrices, (rows, pixels) and (pixels, J).  Lanes are columns
of the table, so nothing is summed across lanes: the pixels that some columns read are transposed
into a panel (pixels, columns), and those of dy come one by one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.taps import Taps
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch, round_up
from fcpts_ref.engines.numba.simd.channels_last import aligned_rows
from fcpts_ref.engines.numba.simd.register_tiles import (
    load_as,
    outer_product_apart,
    transpose_rows,
    zero_tile,
)
from fcpts_ref.engines.numba.simd.types import StaticSize, lanes, static_size
from fcpts_ref.engines.numba.simd.vectors import add, prefetch, store
from fcpts_ref.engines.numba.tuning import (
    GRADIENT_PANEL_PIXELS,
    GRADIENT_PANEL_SHARES,
    GRADIENT_TILES,
)

Array = NDArray[Any]


class Columns(NamedTuple):
    """How the columns of a table and the rows of images are divided.

    height, width: of an image of dy; pitch: of dy and the source; panels: of columns in a group;
    chunk: rows of images in a panel; parts: of all rows of images, summed separately.  Static
    sizes: N_ROWS and N_VECTORS of a register tile, N_TILE of both, LANES of a vector.
    """

    height: int
    width: int
    pitch: int
    panels: int
    chunk: int
    parts: int
    N_ROWS: StaticSize
    N_VECTORS: StaticSize
    N_TILE: StaticSize
    LANES: StaticSize


class DenseGradient:
    """The gradient of a table of at least as many rows as the smallest register tile has."""

    def __init__(
        self, taps: Taps, geometry: Geometry, images: int, dtype: DTypeLike, scratch: Scratch
    ) -> None:
        """geometry: of dy."""
        full, J = lanes(dtype), taps.offsets.shape[1]
        suitable = [tile for tile in GRADIENT_TILES if tile[0] <= taps.rows]
        rows, vectors = min(suitable, key=lambda tile: _cost(taps.rows, J, tile, full))
        panels = -(-J // (vectors * full))
        chunk = max(1, GRADIENT_PANEL_PIXELS // max(1, geometry.width))
        chunks = -(-images * geometry.height // chunk)
        shares = len(taps.offsets) * panels
        parts = max(1, min(-(-GRADIENT_PANEL_SHARES // shares), chunks))
        sizes = rows, vectors, rows * vectors, full
        shape = geometry.height, geometry.width, geometry.pitch
        self.columns = Columns(*shape, panels, chunk, parts, *map(static_size, sizes))
        self.offsets = np.zeros((len(taps.offsets), panels * vectors * full), np.int64)
        self.offsets[:, :J] = taps.offsets
        self.taps, self.scratch = taps, scratch

    def run(self, dy: Array, source: Array, dweight: Array) -> None:
        """Fill dweight, of the shape of the weight."""
        taps, parts = self.taps, self.columns.parts
        shape = parts, taps.channels, self.offsets.shape[1]
        partial = self.scratch.take(shape, dweight.dtype, "gradient")
        offsets = self.offsets.reshape(-1)
        dense_weight_gradient(dy, source, offsets, taps.rows, self.columns, partial)
        add_parts(partial, taps, dweight.reshape(-1))


def _cost(M: int, J: int, tile: tuple[int, int], full: int) -> float:
    """Multiplications of vectors by such tiles, a load counted as half of one."""
    rows, vectors = tile
    tiles = round_up(M, rows) // rows * (round_up(J, vectors * full) // (vectors * full))
    return tiles * (rows * vectors + 0.5 * (rows + vectors))


@compiled
def dense_weight_gradient(
    dy: Any, source: Any, offsets: Any, rows: int, columns: Any, partial: Any
) -> None:
    """partial[i, g * rows + m, j] = sum over the pixels of part i of dy * source at offsets[g, j].

    offsets: flat, padded to whole panels as the last axis of partial (parts, K, columns) is;
    columns: ``Columns``.

    Threads share the panels of columns, and parts of the images, whose number does not depend on
    the threads.
    """
    groups = partial.shape[1] // rows
    for_each(
        groups * columns.panels * columns.parts, _gradient_of_panel,
        dy, source, offsets, rows, columns, partial,
    )  # fmt: skip


@compiled_part
def _gradient_of_panel(
    item: int, dy: Any, source: Any, offsets: Any, rows: int, columns: Any, partial: Any
) -> None:
    images, K, plane = dy.shape
    L, R = len(columns.LANES), len(columns.N_ROWS)
    width = len(columns.N_VECTORS) * L
    part, panel = item % columns.parts, item // columns.parts
    g, first_column = panel // columns.panels, panel % columns.panels * width
    lines = images * columns.height
    start, end = part * lines // columns.parts, (part + 1) * lines // columns.parts
    transposed = aligned_rows(columns.chunk * columns.width + L, width, source)
    sums, at_offsets = partial[part], g * partial.shape[2] + first_column
    sums[g * rows : (g + 1) * rows, first_column : first_column + width] = 0
    for first in range(start, end, columns.chunk):
        last = min(first + columns.chunk, end)
        for line in range(first, last):
            n, p = line // columns.height, line % columns.height
            at = n * source.shape[1] * source.shape[2] + p * columns.pitch
            for q in range(0, columns.width, L):
                to = ((line - first) * columns.width + q) * width
                for v in range(0, width, L):
                    transpose_rows(
                        source, at + q, offsets, at_offsets + v, transposed, to + v, width
                    )
        for block in range(0, rows, R):
            m = min(block, rows - R)
            tile = zero_tile(source, columns.N_TILE, 1, columns.LANES)
            for line in range(first, last):
                n, p = line // columns.height, line % columns.height
                at_dy = (n * K + g * rows + m) * plane + p * columns.pitch
                at = (line - first) * columns.width * width
                for i in range(R):  # the next block's rows of dy
                    prefetch(dy, at_dy + (R + i) * plane)
                for q in range(columns.width):
                    tile = outer_product_apart(
                        tile, columns.N_VECTORS, dy, at_dy + q, plane, transposed, at, None
                    )
                    at += width
            for i, value in enumerate(tile):
                row = m + i // len(columns.N_VECTORS)
                if row >= block:
                    here = (g * rows + row) * partial.shape[2] + first_column
                    here += i % len(columns.N_VECTORS) * L
                    store(sums, here, add(value, load_as(value, sums, here)))


@compiled
def add_parts(partial: Any, taps: Any, dweight: Any) -> None:
    """dweight (flat) = the sum over all parts, in order; taps: the table."""
    for_each(partial.shape[1], _add_row, partial, taps, dweight)


@compiled_part
def _add_row(k: int, partial: Any, taps: Any, dweight: Any) -> None:
    g, first = k // taps.rows, k % taps.rows * taps.pace
    for j in range(taps.counts[g]):
        total = partial[0, k, j]
        for i in range(1, len(partial)):
            total += partial[i, k, j]
        dweight[first + taps.columns[g, j]] = total
