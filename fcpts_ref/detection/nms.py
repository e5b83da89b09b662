"""Detections from the outputs of a detector: softmax, decoding, and hard suppression by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.detection.boxes import Detections, check_boxes, corners, iou
from fcpts_ref.detection.coding import decode
from fcpts_ref.errors import InputError
from fcpts_ref.layers.softmax import softmax_forward

Array = NDArray[Any]

LEAST_SCORE, NMS_IOU, CANDIDATES = 0.01, 0.45, 200
"""Of qfgaohao/pytorch-ssd: the least probability of a detection, the overlap from which the weaker
of two is dropped, and the number of best boxes of a class that are compared."""


def nms(
    boxes: Array, scores: Array, *, threshold: float = NMS_IOU, candidates: int = CANDIDATES
) -> NDArray[np.int64]:
    """Return the indices of the boxes that hard non-maximum suppression keeps, best first.

    The box of the highest score is kept, and those whose IoU with it is above ``threshold`` are
    dropped; then the next one, and so on.  Of equal scores the first comes first.

    boxes: (n, 4) corners, also outside the image; scores: (n,) finite.
    candidates: the number of best boxes that are considered at all.
    Raises InputError for other shapes or scores.
    """
    check_boxes(boxes, "boxes")
    if scores.shape != (len(boxes),) or not np.isfinite(scores).all():
        raise InputError(f"scores have shape {scores.shape}; expected ({len(boxes)},), all finite")
    order = best(scores, candidates)
    if len(order) < 2:
        return order
    drops = np.asarray(iou(boxes[order], boxes[order]) > threshold)
    # A row of ``drops`` as the bits of one integer: one operation drops all its boxes.
    rows = np.packbits(drops, axis=1, bitorder="little")
    left, kept = (1 << len(order)) - 1, []
    while left:
        place = (left & -left).bit_length() - 1
        kept.append(place)
        left &= ~(int.from_bytes(rows[place].tobytes(), "little") | (1 << place))
    return np.asarray(order[kept])


def best(scores: Array, count: int) -> NDArray[np.int64]:
    """Return the indices of the ``count`` highest scores (n,), best first; of equal ones the first.

    Only those at least as high as the last of them are sorted.
    """
    some = np.arange(len(scores))
    if count < len(scores):
        some = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    return some[np.argsort(-scores[some], kind="stable")][:count]


def detect(
    scores: Array,
    codes: Array,
    priors: Array,
    *,
    least_score: float = LEAST_SCORE,
    threshold: float = NMS_IOU,
    candidates: int = CANDIDATES,
) -> Detections:
    """Return the detections of one image, class by class, best first.

    Of every class but the background (0), boxes whose probability is above ``least_score`` are
    suppressed by ``nms``.  Boxes that are not finite are dropped.

    scores: (P, K) logits; codes: (P, 4); priors: (P, 4) as centres.  Boxes are corners in the
    priors' unit, not clipped to the image.
    Raises InputError for shapes that do not fit.
    """
    if scores.ndim != 2 or codes.shape != (len(scores), 4) or priors.shape != codes.shape:
        raise InputError(
            f"scores {scores.shape}, codes {codes.shape} and priors {priors.shape}; expected "
            "(P, K), (P, 4) and (P, 4)"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        p, _ = softmax_forward(scores)
        boxes = corners(decode(codes, priors.astype(codes.dtype, copy=False)))
    p = np.where(np.isfinite(boxes).all(axis=1, keepdims=True), p, 0)
    found = []
    for label in range(1, p.shape[1]):
        some = np.flatnonzero(p[:, label] > least_score)
        kept = some[nms(boxes[some], p[some, label], threshold=threshold, candidates=candidates)]
        found.append((kept, np.full(len(kept), label)))
    chosen = np.concatenate([kept for kept, _ in found]) if found else np.arange(0)
    labels = np.concatenate([label for _, label in found]) if found else np.arange(0)
    return Detections(boxes[chosen], p[chosen, labels], labels)
