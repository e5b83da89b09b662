"""Plans for the masked kernels over aligned rows: which layers they suit, and their tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.rows import (
    masked_row_correlation,
    masked_row_weight_gradient,
)
from fcpts_ref.engines.numba.convolution.sparse import add_chunks
from fcpts_ref.engines.numba.convolution.sparse_index import SparseIndex
from fcpts_ref.engines.numba.convolution.taps import Scheme, Taps
from fcpts_ref.engines.numba.memory.layout import Geometry
from fcpts_ref.engines.numba.simd.vectors import Length, lanes
from fcpts_ref.engines.numba.tuning import ROW_GRADIENT_PARTS, ROW_MIN_IMAGES, ROW_TILE_VECTORS

Array = NDArray[Any]
Form = tuple[Length, Length, Length, Length]


def row_form(scheme: Scheme, geometry: Geometry, images: int, dtype: DTypeLike) -> Form | None:
    """The four shapes of ``row_convolution``'s kernels, or None if they do not suit.

    They are for 3 x 3 with padding 1, without stride, dilation or groups, in images whose rows are
    whole vectors or half of one, and whole tiles of rows.  geometry: of the input or the output.
    """
    full, walk = lanes(dtype), scheme.walk
    suits = (
        scheme.weight_shape[2:] == (3, 3)
        and not scheme.split
        and walk.padding == (1, 1)
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
    return (None,) * ROW_TILE_VECTORS, (None,) * row, (None,) * full, (None,) * together


class RowCorrelation:
    """The masked side of ``Correlation`` over aligned rows."""

    def __init__(
        self, scheme: Scheme, geometry: Geometry, form: Form, dtype: DTypeLike, backward: bool
    ) -> None:
        """geometry: of the target."""
        self.form = form
        self.own_shape = (None,) * (len(form[2]) // len(form[3]))
        self.height, self.pitch = geometry.height, geometry.pitch
        self.index = SparseIndex(column_taps(scheme, form, backward), dtype)
        self.no_bias = np.zeros(scheme.weight_shape[1 if backward else 0], dtype)

    def run(
        self, weight: Array, source: Array, target: Array, bias: Array | None, side: Array | None,
        limits: Array, moments: Array, everything: bool,
    ) -> None:  # fmt: skip
        """As ``Correlation.masked``."""
        index = self.index
        index.build(weight, everything)
        masked_row_correlation(
            source, target, index.offsets, index.values, index.kept,
            self.no_bias if bias is None else bias, self.height, self.pitch, *self.form,
            self.own_shape, side is not None, target if side is None else side, limits, moments,
        )  # fmt: skip


class RowGradient:
    """The gradient of the kept weights over aligned rows; shares the tables of forward."""

    def __init__(self, forward: RowCorrelation) -> None:
        self.form, self.index = forward.form, forward.index
        self.height, self.pitch = forward.height, forward.pitch

    def run(
        self, dy: Array, x: Array, weight: Array, dweight: Array, everything: bool, again: bool
    ) -> None:
        """Fill dweight; the chunks depend on the number of images alone."""
        index, together = self.index, len(self.form[3])
        index.build(weight, everything, again)
        chunk = -(-len(dy) // (ROW_GRADIENT_PARTS * together)) * together
        partial = np.empty((-(-len(dy) // chunk), *index.offsets.shape), dweight.dtype)
        masked_row_weight_gradient(
            dy, x, index.offsets, index.kept, self.height, self.pitch, chunk, partial, *self.form
        )
        add_chunks(partial, index.places, index.kept, dweight.reshape(-1))


def column_taps(scheme: Scheme, form: Form, backward: bool) -> Taps:
    """The table by columns of the filter: a group for each, offsets within the copied rows.

    Offsets count from row 0 of channel 0.  Backward the filter is turned round.
    """
    K, C = scheme.weight_shape[:2]
    width = len(form[1]) * len(form[2])
    positions = np.arange(K * C * 9).reshape(K, C, 3, 3)
    if backward:
        positions = positions[:, :, ::-1, ::-1].swapaxes(0, 1)
    planes, channels = positions.shape[:2]
    channel, r = np.arange(channels)[:, np.newaxis], np.arange(3)
    offsets = (channel * (scheme.target.height + 1) + r - 1) * width
    J = channels * 3
    return Taps.narrow(
        np.tile(offsets.reshape(1, J), (3, 1)),
        np.full(3, J),
        np.ascontiguousarray(positions.transpose(3, 0, 1, 2).reshape(3, planes, J)),
    )
