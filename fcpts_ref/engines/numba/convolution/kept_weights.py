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
from fcpts_ref.engines.numba.memory.layout import ALIGNMENT, Scratch, round_up
from fcpts_ref.engines.numba.tuning import GRADIENT_TILE_WEIGHTS

Array = NDArray[Any]

PADDING = GRADIENT_TILE_WEIGHTS  # entries after the last of a row that a kernel may read


class KeptWeights(NamedTuple):
    """For each output channel of a table the offset, value and position of every kept weight.

    offsets, values, positions: (K, MOST + PADDING), with room for the most that a channel has;
    counts (K,): how many.  The PADDING offsets that follow in a row are 0, which is safe to read.
    """

    offsets: Array
    values: Array
    positions: Array
    counts: Array


class KeptList:
    """The memory of one ``KeptWeights``: each call of ``fill`` replaces the last list.

    scratch: memory that others use after this list; default its own.
    """

    def __init__(self, taps: Taps, dtype: DTypeLike, scratch: Scratch | None = None) -> None:
        self.taps, self.channels, self.dtype = taps, taps.channels, dtype
        self.scratch = Scratch() if scratch is None else scratch
        self.most = 0  # entries of a channel that there is room for

    def fill(self, weight: Array, *, include_zeros: bool) -> KeptWeights:
        """The weights that are not zero, or all of them."""
        flat = weight.reshape(-1)
        kept = self._take()
        needed = round_up(list_weights(flat, self.taps, include_zeros, kept), ALIGNMENT)
        if self.most // 2 <= needed <= self.most:
            return kept
        self.most = needed
        kept = self._take()
        list_weights(flat, self.taps, include_zeros, kept)
        return kept

    def _take(self) -> KeptWeights:
        taps, size = self.taps, (self.channels, self.most + PADDING)
        return KeptWeights(
            self.scratch.take(size, taps.offsets.dtype, "offsets"),
            self.scratch.take(size, self.dtype, "values"),
            self.scratch.take(size, taps.columns.dtype, "positions"),
            self.scratch.take((self.channels,), np.int64, "counts"),
        )


@compiled
def list_weights(weight: Any, taps: Any, include_zeros: bool, kept: Any) -> int:
    """Fill a ``KeptWeights``; weight: flat; taps: the table.  Returns the greatest count.

    Where there is no room for all weights of a channel its count alone is right.
    """
    for_each(kept.counts.size, _list_channel, weight, taps, include_zeros, kept)
    most = 0
    for count in kept.counts:
        most = max(most, count)
    return most


@compiled_part
def _list_channel(k: int, weight: Any, taps: Any, include_zeros: bool, kept: Any) -> None:
    g = k // taps.rows
    first, own, at = k % taps.rows * taps.pace, taps.columns[g], taps.offsets[g]
    index, values, columns, e = kept.offsets, kept.values, kept.positions[k], 0
    most = columns.size - PADDING
    for j in range(taps.counts[g]):
        columns[min(e, most)] = j  # the next one overwrites it if it is not kept
        e += include_zeros or weight[first + own[j]] != 0
    kept.counts[k] = e
    if e > most:
        return
    for i in range(e):
        j = columns[i]
        place = first + own[j]
        index[k, i], values[k, i], columns[i] = at[j], weight[place], place
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
