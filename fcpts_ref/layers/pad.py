"""Padding of any axis with a constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted

Array = NDArray[Any]


def pad_forward(
    x: Array, *, pads: Sequence[int], value: float = 0.0
) -> tuple[Array, tuple[Any, ...]]:
    """Put elements before and after along every axis but the batch.

    x: (N, ...).  pads: the numbers before each axis, then those after each, as in ONNX: (top, left,
    bottom, right) for a value (H, W).  value: of the new elements.
    Returns y and the cache.  Raises InputError for another number of pads, or one below 0.
    """
    rank = x.ndim - 1
    if len(pads) != 2 * rank or min(pads, default=0) < 0:
        raise InputError(
            f"pad got pads {tuple(pads)} for {counted(rank, 'axis', 'axes')}; expected {2 * rank} "
            "numbers >= 0: those before each axis, then those after each"
        )
    widths = [(0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    kept = tuple(
        slice(before, before + side) for (before, _), side in zip(widths, x.shape, strict=True)
    )
    return np.pad(x, widths, constant_values=value), (kept,)


def pad_backward(dy: Array, cache: tuple[Any, ...]) -> Array:
    """Return dx, the elements of dy that are not padding."""
    (kept,) = cache
    return np.array(dy[kept])
