"""Input normalisation, written where the first convolution reads it."""

from __future__ import annotations

from typing import Any

from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import for_each


@compiled
def normalise(images: Any, mean: Any, scale: Any, y: Any, pitch: int) -> None:
    """y = (images - mean) scale per channel; images: (N, C, H, W), y: a buffer (N, C, PLANE)."""
    for_each(len(images) * images.shape[1], _normalise_plane, images, mean, scale, y, pitch)


@compiled_part
def _normalise_plane(item: int, images: Any, mean: Any, scale: Any, y: Any, pitch: int) -> None:
    channels, H, W = images.shape[1:]
    n, c = item // channels, item % channels
    m, a = mean[c], scale[c]
    for p in range(H):
        row, target = images[n, c, p], y[n, c, p * pitch : p * pitch + W]
        for q in range(W):
            target[q] = (row[q] - m) * a
