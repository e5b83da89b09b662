"""VOC's mean average precision against cases by hand and against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.detection.boxes import Detections, Objects
from fcpts_ref.detection.mean_average_precision import (
    area_under_curve,
    average_precisions,
    eleven_point,
    mean_average_precision,
    ranked,
)
from fcpts_ref.errors import InputError


def truth(*rows):
    """Objects of rows (left, top, right, bottom, label, difficult)."""
    array = np.array(rows, float).reshape(-1, 6)
    return Objects(array[:, :4], array[:, 4].astype(int), array[:, 5].astype(bool))


def found(*rows):
    """Detections of rows (left, top, right, bottom, score, label)."""
    array = np.array(rows, float).reshape(-1, 6)
    return Detections(array[:, :4], array[:, 4], array[:, 5].astype(int))


A, B = (0, 0, 2, 2), (4, 4, 6, 6)


def test_perfect():
    detections, truths = [found((*A, 0.9, 1), (*B, 0.8, 2))], [truth((*A, 1, 0), (*B, 2, 0))]
    for measure in ("11-point", "area"):
        assert average_precisions(detections, truths, 2, measure=measure).tolist() == [1, 1]


def test_one_object_is_found_once():
    true, positives = ranked([found((*A, 0.6, 1), (*A, 0.9, 1))], [truth((*A, 1, 0))], 1)
    assert true.tolist() == [True, False]
    assert positives == 1


def test_the_overlap_must_be_above_a_half():
    half = (0, 0, 2, 1)
    assert not ranked([found((*half, 0.9, 1))], [truth((*A, 1, 0))], 1)[0].any()
    more = (0, 0, 2, 1.01)
    assert ranked([found((*more, 0.9, 1))], [truth((*A, 1, 0))], 1)[0].all()


def test_difficult_objects_are_ignored():
    """Neither a detection of them counts, nor they themselves."""
    true, positives = ranked(
        [found((*A, 0.9, 1), (*B, 0.8, 1), (*A, 0.7, 1))], [truth((*A, 1, 1), (*B, 1, 0))], 1
    )
    assert true.tolist() == [True]
    assert positives == 1


def test_a_class_without_objects_is_unknown_and_one_without_detections_zero():
    precisions = average_precisions([found((*A, 0.9, 1))], [truth((*A, 2, 0))], 3)
    assert math.isnan(precisions[0])
    assert precisions[1] == 0
    assert mean_average_precision(precisions) == 0
    assert math.isnan(mean_average_precision(np.array([math.nan])))


def test_both_measures_by_hand():
    """True, false, true of three objects: precision 1 up to recall 1/3, then 2/3 up to 2/3."""
    true = np.array([True, False, True])
    assert eleven_point(true, 3) == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert area_under_curve(true, 3) == pytest.approx(1 / 3 + 2 / 9)


def test_a_recall_of_three_tenths_counts_at_three_tenths():
    """np.arange(0, 1.1, 0.1)[3] is larger than 3 / 10."""
    assert eleven_point(np.array([True] * 3), 10) == pytest.approx(4 / 11)


def test_no_detections():
    assert eleven_point(np.empty(0, bool), 2) == 0
    assert area_under_curve(np.empty(0, bool), 2) == 0


def test_detections_are_ranked_over_all_images():
    detections = [found((*A, 0.5, 1)), found((*B, 0.9, 1))]
    true, positives = ranked(detections, [truth((*A, 1, 0)), truth((*A, 1, 0))], 1)
    assert true.tolist() == [False, True]
    assert positives == 2


def test_bad_arguments():
    with pytest.raises(InputError, match="as many"):
        average_precisions([], [truth()], 1)
    with pytest.raises(InputError, match="measure"):
        average_precisions([found()], [truth()], 1, measure="coco")


def plain(detections, truths, label, measure):
    """The devkit's procedure, one detection after the other, without its pixel."""
    rows = [
        (-score, i, j)
        for i, one in enumerate(detections)
        for j, score in enumerate(one.scores)
        if one.labels[j] == label
    ]
    taken, hits = set(), []
    positives = sum(((t.labels == label) & ~t.difficult).sum() for t in truths)
    for _, i, j in sorted(rows):
        x1, y1, x2, y2 = detections[i].boxes[j]
        best, which = -1.0, None
        for k, (a1, b1, a2, b2) in enumerate(truths[i].boxes):
            if truths[i].labels[k] != label:
                continue
            common = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
            overlap = common / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - common)
            if overlap > best:
                best, which = overlap, k
        if best > 0.5 and truths[i].difficult[which]:
            continue
        hits.append(best > 0.5 and (i, which) not in taken)
        if hits[-1]:
            taken.add((i, which))
    if not positives:
        return math.nan
    points = [(sum(hits[: n + 1]), sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]
    if measure == "11-point":
        best_at = [max([p for h, p in points if 10 * h >= k * positives] + [0]) for k in range(11)]
        return sum(best_at) / 11
    later = [max([p for h, p in points if h >= k] + [0]) for k in range(1, positives + 1)]
    return sum(later) / positives


@given(st.integers(0, 10_000), st.sampled_from(["11-point", "area"]))
def test_against_the_procedure(seed, measure):
    rng = np.random.default_rng(seed)
    detections, truths = [], []
    for _ in range(rng.integers(1, 5)):
        n, m = rng.integers(0, 6, 2)
        low = rng.integers(0, 3, (n, 2))
        boxes = np.concatenate([low, low + rng.integers(1, 4, (n, 2))], axis=1).astype(float)
        truths.append(Objects(boxes, rng.integers(1, 4, n), rng.random(n) < 0.3))
        low = rng.integers(0, 3, (m, 2))
        boxes = np.concatenate([low, low + rng.integers(1, 4, (m, 2))], axis=1).astype(float)
        detections.append(Detections(boxes, np.round(rng.random(m), 1), rng.integers(1, 4, m)))
    precisions = average_precisions(detections, truths, 3, measure=measure)
    expected = [plain(detections, truths, label, measure) for label in (1, 2, 3)]
    assert precisions.tolist() == pytest.approx(expected, nan_ok=True)
