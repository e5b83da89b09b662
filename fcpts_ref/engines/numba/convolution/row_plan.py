"""Plans for the row-packed masked kernels: which layers they suit, and their tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.epilogue import Epilogue
from fcpts_ref.engines.numba.convolution.kept_weights import KeptList, KeptWeights
from fcpts_ref.engines.numba.convolution.rows import (
    masked_row_correlation,
    masked_row_weight_gradient,
)
from fcpts_ref.engines.numba.convolution.sparse import add_chunks
from fcpts_ref.engines.numba.convolution.taps import Scheme, Taps
from fcpts_ref.engines.numba.memory.layout import Geometry, Scratch
from fcpts_ref.engines.numba.simd.types import StaticSize, lanes, static_size
from fcpts_ref.engines.numba.tuning import ROW_GRADIENT_PARTS, ROW_MIN_IMAGES, ROW_TILE_VECTORS

Array = NDArray[Any]


class RowForm(NamedTuple):
    """The row-packed form of images: ``height`` rows, ``pitch`` apart in the buffer.

    Static sizes: N_VECTORS of a tile, ROW_VECTORS of a row, LANES of a vector, IMAGES that share a
    vector, IMAGE_LANES of each of them.
    """

    height: int
    pitch: int
    N_VECTORS: StaticSize
    ROW_VECTORS: StaticSize
    LANES: StaticSize
    IMAGES: StaticSize
    IMAGE_LANES: StaticSize


def row_form(scheme: Scheme, geometry: Geometry, images: int, dtype: DTypeLike) -> RowForm | None:
    """The form in which row-packed kernels take these images, or None if they do not suit.

    They are for 3 x 3 with padding 1, without stride, dilation or groups, in images whose rows are
    whole vectors or half of one, and whole tiles of rows.  geometry: of the input or the output.
    """
    full, walk = lanes(dtype), scheme.walk
    suits = (
        scheme.weight_shape[2:] == (3, 3)
        and not scheme.split
        and walk.padding == (1, 1, 1, 1)
        and walk.dilation == (1, 1)
        and walk.groups == 1
        and images >= ROW_MIN_IMAGES
    )
    together = 2 if 2 * geometry.width == full else 1
    row = geometry.width * together // full
    if not suits or row * full != geometry.width * together or row not in (1, 2, 4, 8):
        return None
    if ROW_TILE_VECTORS % row or geometry.height % (ROW_TILE_VECTORS // row):
        return None
    sizes = ROW_TILE_VECTORS, row, full, together, full // together
    return RowForm(geometry.height, geometry.pitch, *map(static_size, sizes))


class RowCorrelation:
    """The masked side of ``Correlation`` in row-packed form."""

    def __init__(
        self,
        scheme: Scheme,
        form: RowForm,
        dtype: DTypeLike,
        backward: bool,
        scratch: Scratch | None,
    ) -> None:
        """scratch: see ``KeptList``."""
        self.form = form
        self.kept = KeptList(column_taps(scheme, form, backward), dtype, scratch)

    def run(
        self, kept: KeptWeights, source: Array, target: Array, epilogue: Epilogue, sums: Array
    ) -> None:
        """As ``Correlation.masked``."""
        masked_row_correlation(source, target, kept, self.form, epilogue, sums)


class RowGradient:
    """The gradient of the kept weights in row-packed form."""

    def __init__(self, forward: RowCorrelation) -> None:
        self.form = forward.form

    def run(self, kept: KeptWeights, dy: Array, x: Array, dweight: Array) -> None:
        """Fill dweight; the chunks depend on the number of images alone."""
        together = len(self.form.IMAGES)
        chunk = -(-len(dy) // (ROW_GRADIENT_PARTS * together)) * together
        partial = np.empty((-(-len(dy) // chunk), *kept.offsets.shape), dweight.dtype)
        masked_row_weight_gradient(dy, x, kept, self.form, chunk, partial)
        add_chunks(partial, kept, dweight.reshape(-1))


def column_taps(scheme: Scheme, form: RowForm, backward: bool) -> Taps:
    """The table by columns of the filter: a group for each, offsets within the packed rows.

    Offsets count from row 0 of channel 0.  Backward the filter is rotated by 180 degrees.
    """
    K, C = scheme.weight_shape[:2]
    width = len(form.ROW_VECTORS) * len(form.LANES)
    positions = np.arange(K * C * 9).reshape(K, C, 3, 3)
    if backward:
        positions = positions[:, :, ::-1, ::-1].swapaxes(0, 1)
    outputs, channels = positions.shape[:2]
    channel, r = np.arange(channels)[:, np.newaxis], np.arange(3)
    offsets = (channel * (scheme.target.height + 1) + r - 1) * width
    J, pace = channels * 3, 9 if backward else 9 * channels
    return Taps.narrow(
        np.tile(offsets.reshape(1, J), (3, 1)),
        np.full(3, J),
        np.ascontiguousarray(positions[0].transpose(2, 0, 1).reshape(3, J)),
        outputs,
        pace,
    )
