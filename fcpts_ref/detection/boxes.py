"""Boxes (n, 4) in two forms, and their intersection over union.

Corners are (left, top, right, bottom), centres (centre x, centre y, width, height); both as shares
of the image's width and height, or in any other unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError

Array = NDArray[Any]


def corners(boxes: Array) -> Array:
    """Return boxes given by centres as corners.  boxes: (..., 4)."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def centres(boxes: Array) -> Array:
    """Return boxes given by corners as centres.  boxes: (..., 4)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)


def areas(boxes: Array) -> Array:
    """Return the areas (...) of boxes (..., 4) given by corners; 0 for inverted ones."""
    width, height = (np.maximum(boxes[..., i + 2] - boxes[..., i], 0) for i in (0, 1))
    return np.asarray(width * height)


def iou(boxes: Array, others: Array, *, epsilon: float = 0.0) -> Array:
    """Return the intersection over union of every pair of boxes, (n, m).

    boxes: (n, 4), others: (m, 4), both by corners, of one floating dtype.  Boxes without area
    have 0 with all.
    epsilon: added to the union, as SSD's training does (1e-5).
    Raises InputError for other shapes.
    """
    check_boxes(boxes, "boxes")
    check_boxes(others, "others")
    one, other = (np.ascontiguousarray(b.T) for b in (boxes, others))  # sides in a row: fast
    with np.errstate(over="ignore", invalid="ignore"):  # boxes of a network may be enormous
        common, height = (
            _common_length(one[0::2], other[0::2]),
            _common_length(one[1::2], other[1::2]),
        )
        common *= height  # (n, m)
        union = np.add.outer(areas(boxes), areas(others), out=height)
        union -= common
        union += epsilon
        union[~(union > 0)] = 1
        common /= union
    return common


def _common_length(one: Array, other: Array) -> Array:
    """Return the length (n, m) that intervals (2, n) and (2, m) have in common."""
    length = np.minimum.outer(one[1], other[1])
    length -= np.maximum.outer(one[0], other[0])
    return np.asarray(np.maximum(length, 0, out=length))


def check_boxes(boxes: Any, name: str) -> None:
    """Raise InputError unless ``boxes`` is a floating array (n, 4)."""
    if not isinstance(boxes, np.ndarray) or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"{name} have shape {np.shape(boxes)}; expected (n, 4)")
    if boxes.dtype.kind != "f":
        raise InputError(f"{name} are {boxes.dtype}; expected a floating dtype")


@dataclass(frozen=True)
class Objects:
    """The annotated objects of an image, checked on construction, which raises InputError.

    boxes: (n, 4) corners, floating, finite, of positive width and height.  labels: (n,) integers
    from 1; 0 is the background.  difficult: (n,) whether an object does not count.
    """

    boxes: Array
    labels: NDArray[np.integer[Any]]
    difficult: NDArray[np.bool_]

    def __post_init__(self) -> None:
        check_boxes(self.boxes, "boxes of objects")
        n = len(self.boxes)
        if self.labels.shape != (n,) or self.labels.dtype.kind not in "iu":
            raise InputError(
                f"labels of objects are {self.labels.dtype} {self.labels.shape}; expected ({n},) "
                "integers"
            )
        if self.difficult.shape != (n,) or self.difficult.dtype != np.bool_:
            raise InputError(
                f"difficult is {self.difficult.dtype} {self.difficult.shape}; expected ({n},) bool"
            )
        if n and self.labels.min() < 1:
            raise InputError(f"labels of objects begin at {self.labels.min()}; expected 1 or more")
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        if not (np.isfinite(self.boxes).all() and (sides > 0).all()):
            raise InputError(
                "boxes of objects should be finite, with left < right and top < bottom"
            )

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Detections:
    """The detections in an image.

    boxes: (n, 4) corners.  scores: (n,) probabilities.  labels: (n,) integers from 1.
    """

    boxes: Array
    scores: Array
    labels: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.boxes)
