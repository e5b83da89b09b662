"""Random crops and flips of a batch of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]
AUGMENTATIONS = ("none", "crop", "crop-flip")


def augment(images: Array, kind: str, generator: np.random.Generator) -> Array:
    """A new batch (N, C, H, W): each image shifted, and for "crop-flip" mirrored half of the time.

    "crop" pads every side with black, an eighth of its length (4 pixels of 32), and cuts an image
    of the old size at random.  "none" returns the batch as it is and draws nothing.
    Raises InputError for another kind.
    """
    if kind == "none":
        return images
    if kind not in AUGMENTATIONS:
        raise InputError(f"augmentation {kind!r}; expected one of {', '.join(AUGMENTATIONS)}")
    N, _, H, W = images.shape
    margin = max(H, W) // 8
    down = generator.integers(0, 2 * margin + 1, N)
    right = generator.integers(0, 2 * margin + 1, N)
    padded = np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), axis=(2, 3))
    cropped = windows[np.arange(N), :, down, right]
    if kind == "crop":
        return cropped
    flipped = generator.random((N, 1, 1, 1)) < 0.5
    return np.where(flipped, cropped[..., ::-1], cropped)
