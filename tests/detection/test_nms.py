"""Hard suppression, and detections from a detector's outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.detection.boxes import iou
from fcpts_ref.detection.nms import detect, nms
from fcpts_ref.errors import InputError


def test_by_hand():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1.8], [5, 5, 6, 6], [0, 0, 2, 0.8]])
    scores = np.array([0.8, 0.9, 0.1, 0.7])  # box 3 overlaps box 1 by 0.444
    assert nms(boxes, scores).tolist() == [1, 3, 2]
    assert nms(boxes, scores, threshold=0.44).tolist() == [1, 2]
    assert nms(boxes, scores, candidates=2).tolist() == [1]


def test_a_dropped_box_drops_no_other():
    """The middle one of three in a row is dropped by the first; the last one overlaps only it."""
    boxes = np.array([[0.0, 0, 4, 1], [1, 0, 5, 1], [2, 0, 6, 1]])
    assert nms(boxes, np.array([0.9, 0.8, 0.7])).tolist() == [0, 2]


def test_an_overlap_of_exactly_the_threshold_stays():
    boxes = np.array([[0.0, 0, 2, 2], [0, 0, 2, 1]])
    assert nms(boxes, np.array([0.9, 0.8]), threshold=0.5).tolist() == [0, 1]


def test_equal_scores_nothing_one_box_and_boxes_outside():
    same = np.tile([0.0, 0, 1, 1], (3, 1))
    assert nms(same, np.ones(3)).tolist() == [0]
    assert nms(np.empty((0, 4)), np.empty(0)).tolist() == []
    assert nms(same[:1], np.ones(1)).tolist() == [0]
    outside = np.array([[-3.0, -3, -1, -1], [2, 2, 5, 5], [-3, -3, -1, -1.1]])
    assert nms(outside, np.array([0.1, 0.2, 0.3])).tolist() == [2, 1]
    points = np.zeros((3, 4))
    assert nms(points, np.array([0.1, 0.3, 0.2])).tolist() == [1, 2, 0]


@pytest.mark.parametrize("scores", [np.zeros(2), np.array([np.nan]), np.zeros((1, 1))])
def test_scores_that_do_not_fit(scores):
    with pytest.raises(InputError, match="scores"):
        nms(np.array([[0.0, 0, 1, 1]]), scores)


def plain_nms(boxes, scores, threshold, candidates):
    """The definition, one box at a time."""
    order = sorted(range(len(boxes)), key=lambda i: -scores[i])[:candidates]
    kept: list[int] = []
    for i in order:
        if all(iou(boxes[[i]], boxes[[j]])[0, 0] <= threshold for j in kept):
            kept.append(i)
    return kept


@given(st.integers(0, 40), st.integers(1, 50), st.integers(0, 1000))
def test_against_the_definition(n, candidates, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(-1, 1, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 1, (n, 2))], axis=1)
    scores = np.round(rng.random(n), 1)  # some are equal
    expected = plain_nms(boxes, scores, 0.3, candidates)
    assert nms(boxes, scores, threshold=0.3, candidates=candidates).tolist() == expected


PRIORS = np.array([[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5]])


def test_detections():
    scores = np.log([[0.7, 0.295, 0.005], [0.3, 0.2, 0.5]])
    found = detect(scores, np.zeros((2, 4)), PRIORS)
    assert found.labels.tolist() == [1, 1, 2]
    assert found.scores.tolist() == pytest.approx([0.295, 0.2, 0.5])
    assert found.boxes[0].tolist() == [0, 0, 0.5, 0.5]


def test_classes_do_not_suppress_one_another():
    scores = np.log([[0.2, 0.4, 0.4]])
    assert detect(scores, np.zeros((1, 4)), PRIORS[:1]).labels.tolist() == [1, 2]


def test_no_detections():
    found = detect(np.log([[0.999, 0.001]]), np.zeros((1, 4)), PRIORS[:1])
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_boxes_that_are_not_finite_are_dropped():
    codes = np.array([[0, 0, 1e6, 0], [0, 0, 0, np.nan]])
    assert len(detect(np.zeros((2, 3)), codes, PRIORS)) == 0


def test_outputs_that_do_not_fit():
    with pytest.raises(InputError, match="expected"):
        detect(np.zeros((3, 2)), np.zeros((2, 4)), PRIORS)
