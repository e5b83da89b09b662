"""How vectors cover the images of a buffer, as a named tuple that kernels take as one argument.

Fields in capitals are static sizes (``types.StaticSize``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.memory.layout import Geometry, pixel_mask
from fcpts_ref.engines.numba.simd.types import StaticSize, lanes, static_size
from fcpts_ref.engines.numba.tuning import (
    HALF_TILE_VECTORS,
    MASKED_TILE_VECTORS,
    PANEL_SHARES,
    PART_BLOCKS,
    TILE_VECTORS,
    WIDE_TILE_WEIGHTS,
)

Array = NDArray[Any]

# Half vectors in a tile.  Few choices: each is compiled separately.
HALF_WIDTHS = (HALF_TILE_VECTORS, 1)


class Tiling(NamedTuple):
    """Vectors over the planes of an image.

    vectors: how many; step: elements from one to the next, None if they are adjacent; mask: of the
    pixels (``layout.pixel_mask``); N_VECTORS of a tile; LANES of a vector.
    """

    vectors: int
    step: int | None
    mask: Array
    N_VECTORS: StaticSize
    LANES: StaticSize

    def lanes_per_pixel(self, geometry: Geometry) -> float:
        """Lanes of a plane's vectors for each of its pixels: 1 if none is left unused."""
        return self.vectors * len(self.LANES) / max(1, geometry.height * geometry.width)


def make_tiling(geometry: Geometry, dtype: DTypeLike, columns: int) -> Tiling:
    """Whole vectors along the planes, or half a vector for each row where that holds the row.

    columns: weights of an output channel; few do not repay filling a wide tile.
    """
    flat = flat_tiling(geometry, dtype)
    half = lanes(dtype) // 2
    if geometry.width == half and geometry.height < 2 * flat.vectors:
        width = _best_width(geometry.height, HALF_WIDTHS)
        return Tiling(geometry.height, geometry.pitch, flat.mask, width, static_size(half))
    most = max(MASKED_TILE_VECTORS) if columns >= WIDE_TILE_WEIGHTS else TILE_VECTORS
    widths = tuple(width for width in MASKED_TILE_VECTORS if width <= most)
    return flat._replace(N_VECTORS=_best_width(flat.vectors, widths))


def flat_tiling(geometry: Geometry, dtype: DTypeLike) -> Tiling:
    """Whole vectors along the planes, also best for weight gradients of narrow images."""
    full = lanes(dtype)
    mask = pixel_mask(geometry, dtype)
    width = static_size(TILE_VECTORS)
    return Tiling(-(-geometry.row_span // full), None, mask, width, static_size(full))


def _best_width(vectors: int, widths: tuple[int, ...]) -> StaticSize:
    """The tile width with few vectors beyond the last and few tiles."""
    return static_size(min(widths, key=lambda width: -(-vectors // width) * (width + 1)))


def channel_parts(tiles: int, blocks: int) -> int:
    """Parts of the output channels that threads share where there are few tiles of pixels.

    blocks: of TILE_ROWS output channels, over all groups.
    """
    return max(1, min(-(-PANEL_SHARES // max(1, tiles)), blocks // PART_BLOCKS))
