"""Random crops and flips of images.

Sampling a view is separate from applying it, so that it can be reproduced.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]
AUGMENTATIONS = ("none", "crop", "crop-flip")


def augment(images: Array, kind: str, generator: np.random.Generator) -> Array:
    """Return a batch (N, C, H, W) of shifted images, with "crop-flip" half of them mirrored.

    "crop" pads every side with black, an eighth of its length (4 pixels of 32), and crops an image
    of the original size at random.  "none" returns the batch as it is and draws nothing.
    Raises InputError for another kind.
    """
    return view(images, draw_views(kind, len(images), images.shape[2:], generator))


def draw_views(
    kind: str, N: int, size: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.int16]:
    """Draw the views of N images of size (H, W), (N, 3): rows down, columns right, mirrored.

    "none" is the centre of the padded image and draws nothing.  Raises InputError for an
    unknown kind.
    """
    if kind not in AUGMENTATIONS:
        raise InputError(f"augmentation {kind!r}; expected one of {', '.join(AUGMENTATIONS)}")
    margin = _margin(size)
    views = np.full((N, 3), (margin, margin, 0), np.int16)
    if kind != "none":
        views[:, 0] = generator.integers(0, 2 * margin + 1, N)
        views[:, 1] = generator.integers(0, 2 * margin + 1, N)
    if kind == "crop-flip":
        views[:, 2] = generator.random(N) < 0.5
    return views


def view(images: Array, views: NDArray[np.integer[Any]]) -> Array:
    """Return the views of images (N, C, H, W) that ``draw_views`` drew; the padding is black."""
    N, _, H, W = images.shape
    margin = _margin((H, W))
    down, right, mirrored = views.T
    if (down == margin).all() and (right == margin).all():
        cropped = images
    else:
        padded = np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (H, W), axis=(2, 3))
        cropped = windows[np.arange(N), :, down, right]
    if not mirrored.any():
        return cropped
    return np.where(
        mirrored[:, np.newaxis, np.newaxis, np.newaxis] == 1, cropped[..., ::-1], cropped
    )


def _margin(size: tuple[int, ...]) -> int:
    """Return the number of black pixels on every side."""
    return max(size) // 8
