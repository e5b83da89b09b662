"""Random views of annotated pictures: SSD's crops, zooming out and mirroring (Liu et al., 2016).

A window is (left, top, right, bottom) in shares of the picture's width and height; one that is
larger than the picture zooms out.  Windows are drawn here, and the boxes follow them here; pixels
follow them in ``data.resizing.window_view``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.detection.boxes import Objects, iou
from fcpts_ref.errors import InputError

Array = NDArray[Any]

DETECTOR_AUGMENTATIONS = ("none", "ssd-crop", "ssd-crop-flip", "ssd-zoom-crop-flip")
"""The last one is that of the paper; digits, letters and other signs should not be mirrored."""
DETECTOR_DEFAULT = "ssd-crop"
"""It helps SSD most of all augmentations (section 3.2), and no object changes its class."""
MINIMUM_OVERLAPS = (None, 0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
"""Of a crop, one of which is drawn for each picture: its IoU with an object is at least this; None
takes the whole picture (section 2.2)."""
CROP_AREAS, CROP_RATIOS = (0.1, 1.0), (1 / 2, 2.0)
"""The least and the greatest share of the area that a crop covers, and ratio of its width to its
height, both as shares of the picture (section 2.2)."""
CROP_ATTEMPTS = 50
"""Crops that are tried before the whole picture is taken."""
ZOOM_CHANCE, MOST_ZOOM = 0.5, 4.0
"""The share of pictures that are zoomed out, and how much wider than the picture the window is at
most (section 3.6: the canvas has up to 16 times the area)."""
FLIP_CHANCE = 0.5
WHOLE = (0.0, 0.0, 1.0, 1.0)


def draw_view(kind: str, boxes: Array, generator: np.random.Generator) -> Array:
    """Draw the view of a picture: a window and whether it is mirrored, (5,).

    boxes: (n, 4) corners of its objects, in shares of its sides.  "none" draws nothing.
    Raises InputError for a kind that is not in ``DETECTOR_AUGMENTATIONS``.
    """
    check_augmentation(kind)
    window, mirrored = np.array(WHOLE), False
    if "zoom" in kind and generator.random() < ZOOM_CHANCE:
        window = draw_zoom(generator)
    if "crop" in kind:
        window = inside(window, draw_crop(relative(boxes, window), generator))
    if "flip" in kind:
        mirrored = bool(generator.random() < FLIP_CHANCE)
    return np.append(window, mirrored)


def check_augmentation(kind: str) -> None:
    """Raise InputError for a kind that is not in ``DETECTOR_AUGMENTATIONS``."""
    if kind not in DETECTOR_AUGMENTATIONS:
        raise InputError(
            f"augmentation {kind!r}; expected one of {', '.join(DETECTOR_AUGMENTATIONS)} for a "
            "detector, whose boxes move with the picture"
        )


def draw_zoom(generator: np.random.Generator) -> Array:
    """Draw a window (4,) of the picture's shape, 1 to MOST_ZOOM times as wide, that contains it."""
    side = generator.uniform(1, MOST_ZOOM)
    corner = -generator.uniform(0, side - 1, 2)
    return np.concatenate([corner, corner + side])


def draw_crop(boxes: Array, generator: np.random.Generator) -> Array:
    """Draw a window (4,) in the picture that overlaps an object enough and holds a centre of one.

    Takes the whole picture if no attempt succeeds, or if there are no objects.
    boxes: (n, 4) corners in shares of the picture.
    """
    least = MINIMUM_OVERLAPS[int(generator.integers(len(MINIMUM_OVERLAPS)))]
    windows = draw_windows(CROP_ATTEMPTS, generator)
    if least is None or not len(boxes):
        return np.array(WHOLE)
    overlap = iou(windows, boxes)  # (attempts, n)
    good = (overlap.max(axis=1) >= least) & holds_centre(windows, boxes).any(axis=1)
    return windows[good.argmax()] if good.any() else np.array(WHOLE)


def draw_windows(count: int, generator: np.random.Generator) -> Array:
    """Draw windows (count, 4) in the picture, of CROP_AREAS and CROP_RATIOS.

    Areas are uniform, ratios uniform on a log scale.  A side longer than the picture is cut to it.
    """
    area = generator.uniform(*CROP_AREAS, count)
    least, most = (math.log(ratio) / 2 for ratio in CROP_RATIOS)
    root = np.exp(generator.uniform(least, most, count))
    sides = np.minimum(np.sqrt(area)[:, np.newaxis] * np.stack([root, 1 / root], axis=1), 1)
    corner = generator.random((count, 2)) * (1 - sides)
    return np.concatenate([corner, corner + sides], axis=1)


def holds_centre(windows: Array, boxes: Array) -> NDArray[np.bool_]:
    """Return whether the centre of each box (n, 4) lies inside each window (m, 4), (m, n)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    after = centre > windows[:, np.newaxis, :2]
    before = centre < windows[:, np.newaxis, 2:]
    return np.asarray((after & before).all(axis=2))


def relative(boxes: Array, window: Array) -> Array:
    """Return boxes (n, 4) of the picture in shares of a window (4,), neither cut nor left out."""
    corner, sides = np.tile(window[:2], 2), np.tile(window[2:] - window[:2], 2)
    return np.asarray((boxes - corner) / sides)


def inside(outer: Array, window: Array) -> Array:
    """Return the window (4,) of the picture that is ``window`` in shares of ``outer`` (4,)."""
    corner, sides = np.tile(outer[:2], 2), np.tile(outer[2:] - outer[:2], 2)
    return np.asarray(corner + window * sides)


def seen_objects(objects: Objects, view: Array) -> Objects:
    """Return the objects of a picture as a view of ``draw_view`` shows them, in shares of it.

    Those whose centre lies outside the window are left out; the others are cut to it.
    """
    window, mirrored = view[:4], bool(view[4])
    kept = holds_centre(window[np.newaxis], objects.boxes)[0]
    boxes = relative(objects.boxes[kept], window).clip(0, 1)
    boxes = mirrored_boxes(boxes) if mirrored else boxes
    return Objects(boxes, objects.labels[kept], objects.difficult[kept])


def mirrored_boxes(boxes: Array) -> Array:
    """Return boxes (n, 4), in shares of the picture, with left and right exchanged."""
    left, top, right, bottom = boxes.T
    return np.stack([1 - right, top, 1 - left, bottom], axis=1)
