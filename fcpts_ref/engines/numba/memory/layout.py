"""How the fast engine lays out activations: flat planes that share their zero borders.

A buffer is a C-contiguous array (N, C, PLANE).  Pixel (p, q) of a plane is its element
``p * pitch + q``.  Every row is followed by ``pitch - width`` zeros, which are the right
border of this row and the left border of the next one; every plane by at least
``border * pitch`` zeros, which are below this plane and above the next one.  Whatever is not
a pixel is always zero.

So one tap of a convolution is one constant offset for all pixels of an image, and the image
is one long row of vectors, whatever its width; only 1 lane in ``pitch`` is spent on zeros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

ALIGNMENT = 16  # elements; every plane starts at a multiple of it
OVERREAD = 512  # elements that a kernel may read past the last row, at most one tile


@dataclass(frozen=True)
class Geometry:
    """Size of an image in a buffer: pixels, rows of zeros between planes, length of a row."""

    height: int
    width: int
    border: int
    pitch: int

    @property
    def row_span(self) -> int:
        """Elements from the first pixel to the end of the last row, zeros between included."""
        return self.height * self.pitch

    @property
    def plane(self) -> int:
        """Elements of a plane."""
        return round_up((self.height + self.border) * self.pitch, ALIGNMENT)


def make_geometry(height: int, width: int, border: int) -> Geometry:
    """Geometry with the usual pitch, width + border."""
    return Geometry(height, width, border, width + border)


def round_up(value: int, multiple: int) -> int:
    """The least multiple that is not below value."""
    return -(-value // multiple) * multiple


def allocate(images: int, channels: int, geometry: Geometry, dtype: DTypeLike) -> Array:
    """Zeroed buffer (images, channels, PLANE); planes start on a 64-byte boundary.

    Zeros lie before and behind the buffer in the same block of memory, because convolutions
    read the border of the first and the last plane there: never replace it by a copy.
    """
    size = images * channels * geometry.plane
    slack = round_up((geometry.border + 1) * geometry.pitch + OVERREAD, ALIGNMENT)
    block = np.zeros(size + 2 * slack + ALIGNMENT, dtype=dtype)
    skew = -(block.ctypes.data // block.itemsize) % ALIGNMENT
    inner = block[slack + skew : slack + skew + size]
    return inner.reshape(images, channels, geometry.plane)


def interior(buffer: Array, geometry: Geometry) -> Array:
    """The pixels as a view (N, C, H, W): assign to pack images, read to unpack them."""
    rows = buffer[:, :, : geometry.row_span]
    n, c = buffer.shape[:2]
    plane, element = buffer.strides[1], buffer.itemsize
    strides = (c * plane, plane, geometry.pitch * element, element)
    shape = (n, c, geometry.height, geometry.width)
    return np.lib.stride_tricks.as_strided(rows, shape=shape, strides=strides)


def pixel_mask(geometry: Geometry, dtype: DTypeLike) -> Array:
    """-1 for pixels, 0 for zeros of a plane, as integers as wide as dtype (``vectors.keep``)."""
    itemsize = np.dtype(dtype).itemsize
    mask = np.zeros(geometry.plane + OVERREAD, dtype=np.int32 if itemsize == 4 else np.int64)
    rows = mask[: geometry.row_span].reshape(geometry.height, geometry.pitch)
    rows[:, : geometry.width] = -1
    return mask


class Scratch:
    """Memory that steps which run one after the other use while they run.

    Fresh memory would have to be zeroed by the system at every call.
    shared: whatever else steps use in turn, by a key of theirs.
    """

    def __init__(self) -> None:
        self.blocks: dict[tuple[str, np.dtype[Any]], Array] = {}
        self.views: dict[tuple[tuple[int, ...], DTypeLike, str], Array] = {}
        self.shared: dict[Any, Any] = {}

    def take(self, shape: tuple[int, ...], dtype: DTypeLike, purpose: str = "") -> Array:
        """An array of any content, good until the next call for the same purpose."""
        view = self.views.get((shape, dtype, purpose))
        if view is not None:
            return view
        size, key = math.prod(shape), (purpose, np.dtype(dtype))
        if key not in self.blocks or self.blocks[key].size < size:
            self.views = {at: view for at, view in self.views.items() if at[2] != purpose}
            self.blocks.pop(key, None)  # before the new one takes its place
            self.blocks[key] = np.empty(size, dtype)
        view = self.blocks[key][:size].reshape(shape)
        self.views[shape, dtype, purpose] = view
        return view

    def buffer(self, images: int, channels: int, geometry: Geometry, dtype: DTypeLike) -> Array:
        """A buffer as ``allocate`` gives it, whose pixels and zeros are not set."""
        size, slack = images * channels * geometry.plane, round_up(OVERREAD, ALIGNMENT)
        block = self.take((size + 2 * slack + ALIGNMENT,), dtype, "buffer")
        first = slack - (block.ctypes.data // block.itemsize) % ALIGNMENT
        return block[first : first + size].reshape(images, channels, geometry.plane)
