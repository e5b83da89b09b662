"""How pixels are packed into panels, the operands of the dense kernels.

The pixels of all images stand in one row, image after image, without the zeros between.  A *panel*
is a part of it as wide as a register tile: any size of image fills its lanes, and a kernel reads it
in order.  A *piece* is a run of pixels in one row of an image, at most a vector long.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fcpts_ref.engines.numba.convolution.tiling import channel_parts
from fcpts_ref.engines.numba.jit.compilation import compiled_part
from fcpts_ref.engines.numba.memory.layout import Geometry
from fcpts_ref.engines.numba.simd.types import StaticSize, lanes, static_size
from fcpts_ref.engines.numba.simd.vectors import load, store
from fcpts_ref.engines.numba.tuning import (
    TILE_ROWS,
    TILE_VECTORS,
)


class Pixels(NamedTuple):
    """The pixels of the images of a target, as kernels take them.

    height, width: of an image; pitch: of source and target; parts: that share the output channels
    of a panel.  Static sizes: N_VECTORS of a panel, N_TILE of a register tile, LANES of a vector.
    """

    height: int
    width: int
    pitch: int
    parts: int
    N_VECTORS: StaticSize
    N_TILE: StaticSize
    LANES: StaticSize


def make_pixels(geometry: Geometry, images: int, blocks: int, dtype: DTypeLike) -> Pixels:
    """geometry: of the target; blocks: of TILE_ROWS output channels."""
    count, full = images * geometry.height * geometry.width, lanes(dtype)
    width = TILE_VECTORS if count > full else 1
    parts = channel_parts(-(-count // (width * full)), blocks)
    sizes = width, TILE_ROWS * width, full
    shape = geometry.height, geometry.width, geometry.pitch
    return Pixels(*shape, parts, *map(static_size, sizes))


@compiled_part
def find_pieces(first: int, last: int, pixels: Any, source: Any, target: Any) -> Any:
    """The pieces of the pixels from first to last, an integer array (pieces, 4).

    Of each: where it begins in source and in target, in channel 0; its place in the panel; how many
    pixels.
    """
    height, width, L = pixels.height, pixels.width, len(pixels.LANES)
    pieces = np.empty((last - first, 4), np.int64)
    at, count = first, 0
    while at < last:
        row, column = at // width, at % width
        n, down = row // height, row % height * pixels.pitch + column
        pieces[count, 0] = n * source.shape[1] * source.shape[2] + down
        pieces[count, 1] = n * target.shape[1] * target.shape[2] + down
        pieces[count, 2] = at - first
        pieces[count, 3] = min(width - column, last - at, L)
        at += pieces[count, 3]
        count += 1
    return pieces[:count]


@compiled_part
def pack_panel(source: Any, pieces: Any, offsets: Any, first: int, rows: int, panel: Any) -> None:
    """Row j of the panel = the pixels shifted by offsets[first + j], for j < rows.

    offsets: flat.  A piece is copied as a whole vector: what follows it is overwritten by the next
    one, so the panel has room for a vector after its last row.
    """
    width = panel.shape[1]
    for j in range(rows):
        shift = offsets[first + j]
        for i in range(len(pieces)):
            vector = load(source, pieces[i, 0] + shift)
            store(panel, j * width + pieces[i, 2], vector)
