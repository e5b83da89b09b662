"""Convolution with all weights that reads its pixels where they stand.

For images that stay in a cache, where packing panels (see ``dense``) would only copy them.
Shapes: source (N, C, PLANE), target (N, K, PLANE), tables as in ``taps.Taps``, epilogue:
``Epilogue``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.numba.convolution.epilogue import finished
from fcpts_ref.engines.numba.convolution.tiling import Tiling, channel_parts
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.simd.register_tiles import (
    outer_product_at,
    take,
    zero_tile,
)
from fcpts_ref.engines.numba.simd.types import StaticSize, static_size
from fcpts_ref.engines.numba.simd.vectors import apply_mask, store
from fcpts_ref.engines.numba.tuning import (
    TILE_ROWS,
    TILE_VECTORS,
)

Array = NDArray[Any]


class FlatVectors(NamedTuple):
    """The planes of the images of a target as vectors, see ``tiling.Tiling``.

    plane: vectors of one, ``step`` elements apart; vectors: of all images; mask: of the pixels;
    parts: that share the output channels of a tile.  Static sizes: N_VECTORS of a register tile,
    N_TILE of all its rows, LANES of a vector.
    """

    plane: int
    step: int
    vectors: int
    mask: Array
    parts: int
    N_VECTORS: StaticSize
    N_TILE: StaticSize
    LANES: StaticSize


def flat_vectors(tiling: Tiling, images: int, blocks: int) -> FlatVectors:
    """blocks: of TILE_ROWS output channels."""
    step = len(tiling.LANES) if tiling.step is None else tiling.step
    vectors = images * tiling.vectors
    parts = channel_parts(-(-vectors // TILE_VECTORS), blocks)
    return FlatVectors(
        tiling.vectors, step, vectors, tiling.mask, parts, static_size(TILE_VECTORS),
        static_size(TILE_ROWS * TILE_VECTORS), tiling.LANES,
    )  # fmt: skip


@compiled
def direct_correlation(
    source: Any, target: Any, weights: Any, offsets: Any, counts: Any, rows: int, pixels: Any,
    epilogue: Any,
) -> None:  # fmt: skip
    """target[n, g * rows + m] = sum over j of weights[g, m, j] * source shifted by offsets[g, j].

    weights: (G, BLOCKS, J, TILE_ROWS), packed; offsets: flat; pixels: ``FlatVectors``.

    Threads share the tiles of pixels, and parts of their output channels.
    """
    tiles = (pixels.vectors + len(pixels.N_VECTORS) - 1) // len(pixels.N_VECTORS)
    for_each(
        tiles * pixels.parts, _correlate_tile,
        source, target, weights, offsets, counts, rows, pixels, epilogue,
    )  # fmt: skip


@compiled_part
def _correlate_tile(
    item: int, source: Any, target: Any, weights: Any, offsets: Any, counts: Any, rows: int,
    pixels: Any, epilogue: Any,
) -> None:  # fmt: skip
    _, blocks, columns, _ = weights.shape
    number, part = item // pixels.parts, item % pixels.parts
    first = number * len(pixels.N_VECTORS)
    count = min(len(pixels.N_VECTORS), pixels.vectors - first)
    starts = _find_starts(first, pixels, source, target)
    at_source = take(starts, 0, pixels.N_VECTORS)
    units = weights.shape[0] * blocks
    for unit in range(part * units // pixels.parts, (part + 1) * units // pixels.parts):
        g, block = unit // blocks, unit % blocks
        tile = zero_tile(source, pixels.N_TILE, 1, pixels.LANES)
        at_weight, at_offset = unit * columns * TILE_ROWS, g * columns
        for j in range(counts[g]):
            tile = outer_product_at(
                tile, weights, at_weight + j * TILE_ROWS, source, at_source, offsets[at_offset + j]
            )
        row = g * rows + block * TILE_ROWS
        left = min(TILE_ROWS, rows - block * TILE_ROWS)
        _write_tile(tile, starts, pixels, count, target, row, left, epilogue)


@compiled_part
def _find_starts(first: int, pixels: Any, source: Any, target: Any) -> Any:
    """Where the vectors of a tile begin: in channel 0 of the source, of the target, in a plane.

    Vectors beyond the last one are the last one again.
    """
    width = len(pixels.N_VECTORS)
    starts = np.empty(3 * width, np.int64)
    for v in range(width):
        vector = min(first + v, pixels.vectors - 1)
        n, down = vector // pixels.plane, vector % pixels.plane * pixels.step
        starts[v] = n * source.shape[1] * source.shape[2] + down
        starts[width + v] = n * target.shape[1] * target.shape[2] + down
        starts[2 * width + v] = down
    return starts


@compiled_part
def _write_tile(
    tile: Any, starts: Any, pixels: Any, count: int, target: Any, row: int, rows: int,
    epilogue: Any,
) -> None:  # fmt: skip
    """Write the first rows and vectors of a tile, after the epilogue."""
    width, plane = len(pixels.N_VECTORS), target.shape[2]
    for i, value in enumerate(tile):
        m, v = i // width, i % width
        if m < rows and v < count:
            here = starts[width + v] + (row + m) * plane
            value = finished(value, epilogue, row + m, here)
            store(target, here, apply_mask(value, pixels.mask, starts[2 * width + v]))
