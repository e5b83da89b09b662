"""Input normalisation, written where the first convolution reads it."""

from __future__ import annotations

from typing import Any

from numba import prange

from .compilation import compiled_parallel


@compiled_parallel
def normalise(images: Any, mean: Any, scale: Any, y: Any, pitch: int) -> None:
    """y = (images - mean) scale per channel; images: (N, C, H, W), y: a buffer (N, C, PLANE)."""
    channels, H, W = images.shape[1:]
    for item in prange(images.shape[0] * channels):
        n, c = item // channels, item % channels
        m, a = mean[c], scale[c]
        for p in range(H):
            row, target = images[n, c, p], y[n, c, p * pitch : p * pitch + W]
            for q in range(W):
                target[q] = (row[q] - m) * a
