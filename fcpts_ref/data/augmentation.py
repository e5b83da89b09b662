"""Random crops and flips of images.

Sampling a view is separate from applying it, so that it can be reproduced.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.resizing import box_view, random_box, window_view
from fcpts_ref.errors import InputError

Array = NDArray[Any]
AUGMENTATIONS = ("none", "crop", "crop-flip", "resized-crop-flip")
RESIZED = "resized-crop-flip"
"""Crops of random size and ratio, resized, half of them mirrored, as for ImageNet."""


def augment(images: Array, kind: str, generator: np.random.Generator) -> Array:
    """Return a batch (N, C, H, W) of shifted images, with "crop-flip" half of them mirrored.

    "crop" pads every side with black, an eighth of its length (4 pixels of 32), and crops an image
    of the original size at random.  "resized-crop-flip" crops 8 to 100 % of the area, at a ratio of
    3:4 to 4:3, and resizes it to the original size (which needs Pillow).  "none" returns the batch
    as it is and draws nothing.
    Raises InputError for another kind.
    """
    return view(images, draw_views(kind, len(images), images.shape[2:], generator))


def draw_views(
    kind: str, N: int, size: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.integer[Any]]:
    """Draw the views of N images of size (H, W).

    Crops: (N, 3), rows down, columns right, mirrored.  "none" is the centre of the padded image and
    draws nothing.  "resized-crop-flip": (N, 1), a seed, because the sizes of pictures are known
    only when they are read.  Raises InputError for an unknown kind.
    """
    if kind not in AUGMENTATIONS:
        raise InputError(f"augmentation {kind!r}; expected one of {', '.join(AUGMENTATIONS)}")
    if kind == RESIZED:
        return generator.integers(0, np.iinfo(np.int64).max, (N, 1))
    margin = _margin(size)
    views = np.full((N, 3), (margin, margin, 0), np.int16)
    if kind != "none":
        views[:, 0] = generator.integers(0, 2 * margin + 1, N)
        views[:, 1] = generator.integers(0, 2 * margin + 1, N)
    if kind == "crop-flip":
        views[:, 2] = generator.random(N) < 0.5
    return views


def of_pictures(views: Array) -> bool:
    """Return whether views are taken of the pictures themselves, as by ``picture_view``.

    Those of "resized-crop-flip" and those of detectors are.
    """
    return bool(views.shape[1] != 3)


def picture_view(
    picture: Array, view: Array, size: tuple[int, int], filter: str = "bilinear"
) -> Array:
    """Return a view of a picture (H, W, C), resized to ``size`` (H, W).

    view: (1,), a seed of ``draw_views``; or (5,), a window and whether it is mirrored, of
    ``detection.augmentation.draw_view``.
    """
    if len(view) == 1:
        return resized_view(picture, int(view[0]), size, filter)
    return window_view(picture, view[:4], size, filter, mirror=bool(view[4]))


def view(images: Array, views: Array) -> Array:
    """Return the views of images (N, C, H, W) that were drawn for them.

    views: (N, 3) or (N, 1) of ``draw_views``, (N, 5) of ``detection.augmentation.draw_view``.  The
    padding of crops is black.
    """
    N, _, H, W = images.shape
    if of_pictures(views):
        pictures = images.transpose(0, 2, 3, 1)
        seen = [picture_view(one, own, (H, W)) for one, own in zip(pictures, views, strict=True)]
        return np.stack(seen).transpose(0, 3, 1, 2) if seen else images
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


def mixed(images: Array, share: float) -> Array:
    """Return a batch (B, ...) of which each image is mixed with the one in its place from the end.

    share: of its own image, in [0, 1]; 1 - share of the other's (mixup; Zhang et al., 2018).  For a
    network that is compared with another on the same images, no labels have to be mixed (Beyer et
    al., 2022, section 3: function matching).
    """
    own = images.dtype.type(share)
    return np.asarray(own * images + (1 - own) * images[::-1])


def resized_view(
    picture: Array, seed: int, size: tuple[int, int], filter: str = "bilinear"
) -> Array:
    """Return the view of a picture (H, W, C) for a seed of ``draw_views``, of ``size`` (H, W)."""
    generator = np.random.default_rng(seed)
    mirror = bool(generator.random() < 0.5)
    box = random_box(picture.shape[0], picture.shape[1], generator)
    return box_view(picture, box, size, filter, mirror)


def _margin(size: tuple[int, ...]) -> int:
    """Return the number of black pixels on every side."""
    return max(size) // 8
