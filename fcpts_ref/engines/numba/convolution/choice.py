"""Which kernel runs: the dense one, or the masked one that skips the weights that are zero."""

from __future__ import annotations

from fcpts_ref.engines.numba.tuning import SPARSE_BELOW, TILE_ROWS


def prefer_sparse(density: float, channels: int) -> bool:
    """Whether the masked kernel is faster than the dense one.

    density: share of the weights that are not zero; channels: output channels that read the same
    inputs.  The dense kernel computes TILE_ROWS of them at a time, whether there are as many or
    not.
    """
    return density * min(channels, TILE_ROWS) < SPARSE_BELOW * TILE_ROWS
