"""Lists of the weights that are not zero, made once a pass and handed to kernels.

Making a list is one sweep over the weights, cheap next to the work that it saves.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.engines.numba.convolution.taps import Taps
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each
from fcpts_ref.engines.numba.tuning import GRADIENT_TILE_WEIGHTS

Array = NDArray[Any]

PADDING = GRADIENT_TILE_WEIGHTS  # entries after the last of a row that a kernel may read


class KeptWeights(NamedTuple):
    """For each output channel of a table the offset, value and position of every kept weight.

    offsets, values, positions: (K, J + PADDING); counts (K,): how many.  The PADDING offsets that
    follow in a row are 0, which is safe to read.
    """

    offsets: Array
    values: Array
    positions: Array
    counts: Array


class KeptList:
    """The memory of one ``KeptWeights``: each call of ``fill`` replaces the last list."""

    def __init__(self, taps: Taps, dtype: DTypeLike) -> None:
        size = (taps.channels, taps.positions.shape[2] + PADDING)
        self.taps = taps
        self.kept = KeptWeights(
            np.zeros(size, taps.offsets.dtype),
            np.zeros(size, dtype),
            np.zeros(size, taps.positions.dtype),
            np.zeros(taps.channels, np.int64),
        )

    def fill(self, weight: Array, *, include_zeros: bool) -> KeptWeights:
        """The weights that are not zero, or all of them."""
        taps = self.taps
        list_weights(
            weight.reshape(-1), taps.offsets, taps.counts, taps.positions, include_zeros, self.kept
        )
        return self.kept


@compiled
def list_weights(
    weight: Any, offsets: Any, counts: Any, positions: Any, include_zeros: bool, kept: Any
) -> None:
    """Fill a ``KeptWeights``; weight: flat; offsets, counts, positions: a table (``Taps``)."""
    groups, rows, _ = positions.shape
    for_each(groups * rows, _list_channel, weight, offsets, counts, positions, include_zeros, kept)


@compiled_part
def _list_channel(
    k: int, weight: Any, offsets: Any, counts: Any, positions: Any, include_zeros: bool, kept: Any
) -> None:
    rows = positions.shape[1]
    own, at = positions[k // rows, k % rows], offsets[k // rows]
    index, values, columns, e = kept.offsets, kept.values, kept.positions[k], 0
    for j in range(counts[k // rows]):
        columns[e] = j  # the next one overwrites it if it is not kept
        e += include_zeros or weight[own[j]] != 0
    for i in range(e):
        j = columns[i]
        index[k, i], values[k, i], columns[i] = at[j], weight[own[j]], own[j]
    kept.counts[k] = e
    index[k, e : e + PADDING] = 0


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
