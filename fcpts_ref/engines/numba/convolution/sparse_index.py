"""The weights that are not zero, listed anew from the weights of each call.

One pass over the weights, cheap next to the work that it saves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.taps import Taps
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.tuning import GRADIENT_TILE_WEIGHTS

Array = NDArray[Any]

SLACK = GRADIENT_TILE_WEIGHTS  # entries after a row of the index that a kernel may read


class SparseIndex:
    """For each output plane of a table the offset, value and place of every kept weight.

    offsets, values, places (PLANES, J + SLACK), kept (PLANES,): how many.  The SLACK offsets that
    follow in a row are 0, which is safe to read.
    """

    def __init__(self, taps: Taps, dtype: DTypeLike) -> None:
        size = (taps.planes, taps.positions.shape[2] + SLACK)
        self.taps = taps
        self.offsets = np.zeros(size, taps.offsets.dtype)
        self.values = np.zeros(size, dtype)
        self.places = np.zeros(size, taps.positions.dtype)
        self.kept = np.zeros(taps.planes, np.int64)
        self.listed: bool | None = None  # with everything or without

    def build(self, weight: Array, everything: bool, again: bool = False) -> None:
        """List the non-zero weights, or all; again: unless the last forward has done it."""
        if again and self.listed == everything:
            return
        self.listed = everything
        build_index(
            weight.reshape(-1), self.taps.offsets, self.taps.counts, self.taps.positions,
            everything, self.offsets, self.values, self.places, self.kept,
        )  # fmt: skip


@compiled
def build_index(
    weight: Any, offsets: Any, counts: Any, positions: Any, everything: bool,
    index: Any, values: Any, places: Any, kept: Any,
) -> None:  # fmt: skip
    """Fill a ``SparseIndex``; weight: flat; offsets, counts, positions: a table (``Taps``)."""
    groups, rows, _ = positions.shape
    for_each(
        groups * rows, _list_plane,
        weight, offsets, counts, positions, everything, index, values, places, kept,
    )  # fmt: skip


@compiled_part
def _list_plane(
    plane: int, weight: Any, offsets: Any, counts: Any, positions: Any, everything: bool,
    index: Any, values: Any, places: Any, kept: Any,
) -> None:  # fmt: skip
    rows = positions.shape[1]
    own, at = positions[plane // rows, plane % rows], offsets[plane // rows]
    columns, e = places[plane], 0
    for j in range(counts[plane // rows]):
        columns[e] = j  # written over by the next one if it is not kept
        e += everything or weight[own[j]] != 0
    for i in range(e):
        j = columns[i]
        index[plane, i], values[plane, i], columns[i] = at[j], weight[own[j]], own[j]
    kept[plane] = e
    index[plane, e : e + SLACK] = 0


@compiled
def count_kept(weight: Any) -> int:
    """How many weights are not zero."""
    kept = 0
    for i in range(weight.size):
        kept += weight[i] != 0
    return kept


def density(weight: Array) -> float:
    """Share of the weights that are not zero."""
    return int(count_kept(weight.reshape(-1))) / max(weight.size, 1)
