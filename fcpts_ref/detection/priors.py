"""The prior boxes of SSD (Liu et al., 2016, section 2.2), as qfgaohao/pytorch-ssd places them.

Each of six feature maps has six priors per cell; for images of 300 x 300 they are 3,000.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

SIZES = ((60, 105), (105, 150), (150, 195), (195, 240), (240, 285), (285, 330))
"""The smaller and the larger side of each map's squares, in pixels of an image of side 300."""
SIZE_UNIT = 300
STRIDES = (16, 32, 64, None, None, None)
"""The distance of neighbouring centres in pixels; None divides the image by the cells.

The map of stride 16 has 19 cells on 300 pixels, and its centres are 16 pixels apart, not 300 / 19.
"""
RATIOS = (2, 3)
"""Ratios of the sides of the other priors, in both directions."""
PRIORS_PER_CELL = 2 + 2 * len(RATIOS)


def prior_boxes(
    maps: Sequence[tuple[int, int]],
    image: tuple[int, int] = (300, 300),
    *,
    sizes: Sequence[tuple[float, float]] = SIZES,
    strides: Sequence[float | None] = STRIDES,
    ratios: Sequence[float] = RATIOS,
) -> NDArray[np.float64]:
    """Return the priors (P, 4) as centres, shares of the image clipped to [0, 1].

    Maps come in order, then rows, columns, and the priors of a cell: the square of the smaller
    side, the square of the geometric mean of both sides, and for each ratio the wide and the high
    box of the smaller square's area.

    maps: height and width of every feature map in cells.  image: height and width in pixels.
    sizes, strides: of every map, as ``SIZES`` and ``STRIDES``.
    Raises InputError if their numbers differ, or a size is not positive.
    """
    if not len(maps) == len(sizes) == len(strides):
        raise InputError(
            f"{len(maps)} feature maps with {len(sizes)} sizes and {len(strides)} strides; "
            "expected as many of each"
        )
    parts = []
    for cells, (smaller, larger), stride in zip(maps, sizes, strides, strict=True):
        if min(*cells, *image, smaller, larger) <= 0 or (stride is not None and stride <= 0):
            raise InputError(
                f"a feature map of {cells} cells with sizes {(smaller, larger)} and stride "
                f"{stride} on an image of {image}; expected numbers above 0"
            )
        y, x = (_centres(n, side, stride) for n, side in zip(cells, image, strict=True))
        shapes = _shapes(smaller / SIZE_UNIT, larger / SIZE_UNIT, ratios)  # (A, 2)
        grid = np.empty((*cells, len(shapes), 4))
        grid[..., 0] = x[np.newaxis, :, np.newaxis]
        grid[..., 1] = y[:, np.newaxis, np.newaxis]
        grid[..., 2:] = shapes
        parts.append(grid.reshape(-1, 4))
    priors: NDArray[np.float64] = np.concatenate(parts)
    return priors.clip(0.0, 1.0)


def _centres(cells: int, side: int, stride: float | None) -> NDArray[Any]:
    step = side / cells if stride is None else stride
    return (np.arange(cells) + 0.5) / (side / step)


def _shapes(smaller: float, larger: float, ratios: Sequence[float]) -> NDArray[Any]:
    """Return width and height of the priors of a cell, (A, 2)."""
    middle = math.sqrt(smaller * larger)
    shapes = [(smaller, smaller), (middle, middle)]
    for ratio in ratios:
        root = math.sqrt(ratio)
        shapes += [(smaller * root, smaller / root), (smaller / root, smaller * root)]
    return np.array(shapes)
