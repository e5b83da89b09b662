"""The objects that priors are trained on, and the background priors that count (SSD, 2.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.detection.boxes import Objects, centres, corners, iou
from fcpts_ref.detection.coding import encode
from fcpts_ref.errors import InputError

Array = NDArray[Any]

MATCH_IOU = 0.5
IOU_EPSILON = 1e-5
"""Added to the union of boxes, as in qfgaohao/pytorch-ssd."""
NEGATIVES = 3
"""Background priors for each matched one."""


def match(priors: Array, boxes: Array, *, threshold: float = MATCH_IOU) -> NDArray[np.int64]:
    """Return the index of the object that each prior is matched to, (P,); -1 for none.

    A prior is matched to the object that it overlaps most if their IoU is at least ``threshold``;
    among equal ones to the first.  The best prior of every object is matched to it in any case;
    if objects share their best prior, the last one has it.
    priors: (P, 4), boxes: (n, 4), both by corners.
    """
    matched = np.full(len(priors), -1, np.int64)
    if not len(boxes):
        return matched
    overlap = iou(priors, boxes, epsilon=IOU_EPSILON)  # (P, n)
    best = overlap.argmax(axis=1)
    near = overlap[np.arange(len(priors)), best] >= threshold
    matched[near] = best[near]
    for number, prior in enumerate(overlap.argmax(axis=0)):
        matched[prior] = number
    return matched


def targets(
    priors: Array, objects: Objects, *, threshold: float = MATCH_IOU
) -> tuple[NDArray[np.int64], Array]:
    """Return the label (P,), 0 for background, and the code (P, 4) that each prior should have.

    priors: (P, 4) as centres, in the unit of the objects.  Difficult objects are left out.  Codes
    of background priors are 0 and have no meaning.
    """
    boxes = objects.boxes[~objects.difficult].astype(priors.dtype)
    matched = match(corners(priors), boxes, threshold=threshold)
    found = matched >= 0
    labels = np.zeros(len(priors), np.int64)
    codes = np.zeros_like(priors)
    labels[found] = objects.labels[~objects.difficult][matched[found]]
    codes[found] = encode(centres(boxes)[matched[found]], priors[found])
    return labels, codes


def hard_negatives(
    loss: Array, positive: NDArray[np.bool_], *, ratio: int = NEGATIVES
) -> NDArray[np.bool_]:
    """Return which background priors (N, P) count: of each image those of the largest loss.

    They are ``ratio`` times as many as its positive priors, or all there are; of equal losses the
    first come first.
    loss: (N, P), -log p(background).  positive: (N, P).  Raises InputError for other shapes.
    """
    if loss.ndim != 2 or loss.shape != positive.shape:
        raise InputError(
            f"loss {loss.shape} and positive {positive.shape}; expected (N, P) for both"
        )
    order = np.argsort(np.where(positive, np.inf, -loss), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(loss.shape[1])[np.newaxis], axis=1)
    wanted = ratio * positive.sum(axis=1, keepdims=True)
    return np.asarray((rank < wanted) & ~positive)
