"""Matching, hard negatives and the multibox loss."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fcpts_ref.detection.boxes import Objects, centres
from fcpts_ref.detection.loss import (
    multibox_loss_backward,
    multibox_loss_forward,
    smooth_l1,
    smooth_l1_gradient,
)
from fcpts_ref.detection.matching import hard_negatives, match, targets
from fcpts_ref.errors import InputError

PRIORS = np.array([[0, 0, 2, 2], [2, 0, 4, 2], [0, 2, 2, 4], [0, 0, 4, 4]], float)


def test_every_object_has_its_best_prior():
    """The small object overlaps no prior by half."""
    assert match(PRIORS, np.array([[0.0, 0, 1, 1]])).tolist() == [0, -1, -1, -1]


def test_priors_that_overlap_by_the_threshold():
    boxes = np.array([[0.0, 0, 4, 2]])  # half of priors 0, 1 and 3
    assert match(PRIORS, boxes, threshold=0.4999).tolist() == [0, 0, -1, 0]
    assert match(PRIORS, boxes, threshold=0.6).tolist() == [-1, -1, -1, 0]  # its best prior


def test_the_first_of_equal_objects_and_the_last_of_those_that_share_a_best_prior():
    boxes = np.array([[0.0, 0, 4, 2], [0, 2, 4, 4]])  # prior 3 overlaps both by a half
    assert match(np.concatenate([PRIORS, boxes]), boxes, threshold=0.4)[3:].tolist() == [0, 0, 1]
    same = np.array([[0.0, 0, 2, 2], [0, 0, 2, 2]])
    assert match(PRIORS, same)[0] == 1


def test_a_best_prior_wins_over_a_larger_overlap():
    boxes = np.array([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    assert match(PRIORS, boxes)[0] == 1


def test_no_objects_match_nothing():
    assert match(PRIORS, np.empty((0, 4))).tolist() == [-1] * 4


def test_targets():
    objects = Objects(PRIORS[[1, 2]], np.array([7, 9]), np.array([False, True]))
    labels, codes = targets(centres(PRIORS), objects)
    assert labels.tolist() == [0, 7, 0, 0]
    assert not codes.any()  # the object is the prior


def test_targets_without_objects():
    none = Objects(np.empty((0, 4)), np.empty(0, int), np.empty(0, bool))
    labels, codes = targets(centres(PRIORS), none)
    assert not labels.any()
    assert codes.shape == (4, 4)


def test_hard_negatives():
    loss = np.array([[9.0, 1, 5, 3, 4, 2], [1, 2, 3, 4, 5, 6]])
    positive = np.zeros((2, 6), bool)
    positive[0, 0] = True
    assert np.flatnonzero(hard_negatives(loss, positive)[0]).tolist() == [2, 3, 4]
    assert not hard_negatives(loss, positive)[1].any()  # no positive, no negative


def test_hard_negatives_take_all_there_are_and_the_first_of_equal_ones():
    positive = np.array([[True, True, False, False]])
    assert hard_negatives(np.zeros((1, 4)), positive).tolist() == [[False, False, True, True]]
    positive = np.array([[False, True, False, False, False]])
    found = hard_negatives(np.zeros((1, 5)), positive, ratio=2)
    assert found.tolist() == [[True, False, True, False, False]]
    with pytest.raises(InputError, match="expected"):
        hard_negatives(np.zeros(4), positive)


def test_smooth_l1():
    d = np.array([-2.0, -1, -0.5, 0, 0.5, 1, 2])
    assert smooth_l1(d).tolist() == [1.5, 0.5, 0.125, 0, 0.125, 0.5, 1.5]
    assert smooth_l1_gradient(d).tolist() == [-1, -1, -0.5, 0, 0.5, 1, 1]


def test_loss_by_hand():
    """Two classes, equal logits: log 2 for one positive and three negatives; a code off by 2."""
    scores, codes = np.zeros((1, 6, 2)), np.zeros((1, 6, 4))
    labels = np.array([[1, 0, 0, 0, 0, 0]])
    codes[0, 0, 2], codes[0, 1, 0] = 2, 100  # that of a background prior does not count
    loss, cache = multibox_loss_forward(scores, codes, labels, np.zeros((1, 6, 4)))
    assert loss == pytest.approx(4 * math.log(2) + 1.5)
    dscores, dcodes = multibox_loss_backward(1.0, cache)
    assert dscores[0, 0].tolist() == [0.5, -0.5]
    assert dscores[0, 3].tolist() == [-0.5, 0.5]
    assert not dscores[0, 4:].any()  # not among the three first of equal ones
    assert dcodes[0, 0].tolist() == [0, 0, 1, 0]
    assert not dcodes[0, 1:].any()


def test_a_batch_without_objects_has_no_loss():
    shape = (2, 6)
    loss, cache = multibox_loss_forward(
        np.ones((*shape, 3)), np.ones((*shape, 4)), np.zeros(shape, int), np.zeros((*shape, 4))
    )
    assert loss == 0
    assert not any(gradient.any() for gradient in multibox_loss_backward(1.0, cache))


def batch(dtype=np.float64):
    rng = np.random.default_rng(3)
    scores, codes = rng.normal(size=(3, 20, 5)), 1.5 * rng.normal(size=(3, 20, 4))
    labels = np.where(rng.random((3, 20)) < 0.15, rng.integers(1, 5, (3, 20)), 0)
    labels[2] = 0  # an image without objects
    wanted = rng.normal(size=(3, 20, 4))
    return scores.astype(dtype), codes.astype(dtype), labels, wanted.astype(dtype)


@pytest.mark.parametrize("part", [0, 1])
def test_gradient_by_complex_steps(part):
    scores, codes, labels, wanted = batch()
    _, cache = multibox_loss_forward(scores, codes, labels, wanted)
    gradient = multibox_loss_backward(0.7, cache)[part]
    step = 1e-30
    found = np.empty_like(gradient)
    for index in np.ndindex(gradient.shape):
        inputs = [scores.astype(complex), codes.astype(complex)]
        inputs[part][index] += 1j * step
        loss, _ = multibox_loss_forward(inputs[0], inputs[1], labels, wanted)
        found[index] = 0.7 * loss.imag / step
    assert np.abs(found - gradient).max() < 1e-14
    assert found.any()


def test_float32_in_float32_out():
    _, cache = multibox_loss_forward(*batch(np.float32))
    assert {g.dtype for g in multibox_loss_backward(1.0, cache)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "change",
    [
        {"scores": np.zeros((3, 20))},
        {"codes": np.zeros((3, 20, 5))},
        {"labels": np.zeros((3, 19), int)},
        {"labels": np.zeros((3, 20))},
        {"labels": np.full((3, 20), 5)},
        {"labels": np.full((3, 20), -1)},
        {"targets": np.zeros((3, 19, 4))},
    ],
)
def test_arguments_that_do_not_fit(change):
    given = dict(zip(("scores", "codes", "labels", "targets"), batch(), strict=True))
    with pytest.raises(InputError):
        multibox_loss_forward(**{**given, **change})
