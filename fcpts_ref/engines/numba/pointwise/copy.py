"""Copies between arrays of any layout."""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each


@compiled
def copy_images(source: Any, target: Any) -> None:
    """target = source; arrays (N, C, H, W) of any strides.  Threads share the planes."""
    for_each(len(source) * source.shape[1], _copy_plane, source, target)


@compiled_part
def _copy_plane(item: int, source: Any, target: Any) -> None:
    _, C, H, W = source.shape
    n, c = item // C, item % C
    for p in range(H):
        for q in range(W):
            target[n, c, p, q] = source[n, c, p, q]
