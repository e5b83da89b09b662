"""Mean average precision as PASCAL VOC measures it (Everingham et al., 2010, section 4.2).

A detection is true if it overlaps the object of its class that it overlaps most by an IoU above
0.5, and no better detection has that object already.  Difficult objects are not counted, and
detections of them are ignored.  Sides of boxes are right - left, without the pixel that the
devkit adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.detection.boxes import Detections, Objects, iou
from fcpts_ref.errors import InputError

Array = NDArray[Any]
Measure = Literal["11-point", "area"]

TRUE_IOU = 0.5


def average_precisions(
    detections: Sequence[Detections],
    truths: Sequence[Objects],
    classes: int,
    *,
    measure: Measure = "11-point",
    threshold: float = TRUE_IOU,
) -> NDArray[np.float64]:
    """Return the average precision of every class, (classes,); NaN for one without objects.

    detections, truths: one of each image, in one unit of length.  classes: those numbered from 1.
    measure: "11-point", VOC's until 2009, or "area", under the monotone curve.
    Raises InputError for numbers of images that differ or another measure.
    """
    if len(detections) != len(truths):
        raise InputError(
            f"detections of {len(detections)} images, objects of {len(truths)}; expected as many"
        )
    if measure not in get_args(Measure):
        raise InputError(f"measure is {measure!r}; expected {' or '.join(get_args(Measure))}")
    average = eleven_point if measure == "11-point" else area_under_curve
    result = np.full(classes, np.nan)
    for number in range(classes):
        true, positives = ranked(detections, truths, number + 1, threshold=threshold)
        if positives:
            result[number] = average(true, positives)
    return result


def mean_average_precision(precisions: NDArray[np.float64]) -> float:
    """Return the unweighted mean of the classes that have objects; NaN if none has."""
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else float("nan")


def ranked(
    detections: Sequence[Detections],
    truths: Sequence[Objects],
    label: int,
    *,
    threshold: float = TRUE_IOU,
) -> tuple[NDArray[np.bool_], int]:
    """Return which detections of a class are true, best first, and the number of its objects.

    Ignored detections are left out, and difficult objects are not counted.  Of equal scores the
    earlier image and detection comes first.
    """
    scores, matched, positives, first = [np.empty(0)], [np.empty(0, np.int64)], 0, 0
    for found, truth in zip(detections, truths, strict=True):
        own, there = found.labels == label, truth.labels == label
        difficult = truth.difficult[there]
        positives += int((~difficult).sum())
        place = np.full(int(own.sum()), -1, np.int64)  # -1: false
        if own.any() and there.any():
            boxes = truth.boxes[there].astype(np.float64)
            overlap = iou(found.boxes[own].astype(np.float64), boxes)
            best = overlap.argmax(axis=1)
            enough = overlap[np.arange(len(best)), best] > threshold
            place[enough] = np.where(difficult[best], -2, first + best)[enough]  # -2: ignored
        scores.append(found.scores[own].astype(np.float64))
        matched.append(place)
        first += len(difficult)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    places = np.concatenate(matched)[order]
    places = places[places != -2]
    true = np.zeros(len(places), np.bool_)
    _, earliest = np.unique(places, return_index=True)
    true[earliest] = True  # the best detection of each object
    return true & (places >= 0), positives


def eleven_point(true: NDArray[np.bool_], positives: int) -> float:
    """Return the mean over recalls 0, 0.1, ..., 1 of the best precision at that recall or more.

    true: (n,), best detection first.  positives: objects, at least 1.
    """
    hits, precision = _hits_and_precision(true)
    # recall >= k / 10 in whole numbers: as floats, 3 / 10 would miss np.arange(0, 1.1, 0.1)[3].
    reached = 10 * hits >= np.arange(11)[:, np.newaxis] * positives  # (11, n)
    return float(np.where(reached, precision, 0.0).max(axis=1, initial=0.0).mean())


def area_under_curve(true: NDArray[np.bool_], positives: int) -> float:
    """Return the area under precision over recall, made monotone from the right.

    true: (n,), best detection first.  positives: objects, at least 1.
    """
    _, precision = _hits_and_precision(true)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(monotone[true].sum() / positives)  # recall grows by 1 / positives at each hit


def _hits_and_precision(true: NDArray[np.bool_]) -> tuple[Array, Array]:
    hits = np.cumsum(true)
    return hits, hits / np.arange(1, len(true) + 1)
