"""Boxes, priors and codes against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.detection.boxes import Objects, areas, centres, corners, iou
from fcpts_ref.detection.coding import decode, encode
from fcpts_ref.detection.priors import prior_boxes
from fcpts_ref.errors import InputError

MAPS = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
SIDES = st.floats(0.05, 2)
BOXES = st.tuples(st.floats(-1, 1), st.floats(-1, 1), SIDES, SIDES)


def box(*numbers: float) -> np.ndarray:
    return np.array([numbers], np.float64)


def test_corners_and_centres():
    assert corners(box(0.5, 0.25, 0.5, 0.25)).tolist() == [[0.25, 0.125, 0.75, 0.375]]
    assert centres(box(0.25, 0.125, 0.75, 0.375)).tolist() == [[0.5, 0.25, 0.5, 0.25]]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 2, 2), 1),
        ((1, 1, 3, 3), 1 / 7),  # 1 of 4 + 4 - 1
        ((0, 0, 1, 1), 1 / 4),  # inside
        ((2, 0, 4, 2), 0),  # they touch
        ((5, 5, 6, 6), 0),
        ((1, 1, 1, 1), 0),  # a point
        ((3, 3, 1, 1), 0),  # inverted
        ((-1, -1, 1, 1), 1 / 7),  # outside the image
    ],
)
def test_iou(other, expected):
    assert iou(box(0, 0, 2, 2), box(*other)).tolist() == [[expected]]


def test_iou_of_points_and_of_nothing():
    assert iou(box(1, 1, 1, 1), box(1, 1, 1, 1)).tolist() == [[0]]
    assert iou(np.empty((0, 4)), box(0, 0, 1, 1)).shape == (0, 1)
    assert iou(box(0, 0, 1, 1), np.empty((0, 4))).shape == (1, 0)


def test_iou_with_epsilon():
    assert iou(box(0, 0, 1, 1), box(0, 0, 1, 1), epsilon=1.0).tolist() == [[0.5]]


def test_iou_keeps_the_dtype_and_survives_enormous_boxes():
    huge = box(-1e38, -1e38, 1e38, 1e38).astype(np.float32)
    found = iou(huge, huge)
    assert found.dtype == np.float32


@given(BOXES, BOXES)
def test_iou_is_symmetric_and_does_not_depend_on_the_unit(one, other):
    a, b = corners(box(*one)), corners(box(*other))
    found = iou(a, b)
    assert 0 <= found <= 1
    assert iou(b, a) == found
    unit = np.array([500, 375, 500, 375])
    assert iou(a * unit, b * unit) == pytest.approx(found, abs=1e-12)


def test_areas():
    assert areas(np.array([[0.0, 0, 2, 3], [2, 0, 0, 3]])).tolist() == [6, 0]


@pytest.mark.parametrize("wrong", [np.zeros(4), np.zeros((2, 3)), np.zeros((2, 4), int), [[0] * 4]])
def test_boxes_of_another_kind(wrong):
    with pytest.raises(InputError, match="boxes"):
        iou(wrong, np.zeros((1, 4)))


def test_three_thousand_priors():
    priors = prior_boxes(MAPS)
    assert priors.shape == (3000, 4)
    assert priors.min() > 0
    assert priors.max() == 1


def test_the_priors_of_the_first_cell():
    """Its centre is 8 pixels from the corner; squares of 60 and sqrt(60 * 105); ratios 2 and 3."""
    root2, root3 = math.sqrt(2), math.sqrt(3)
    middle = math.sqrt(60 * 105) / 300
    sizes = [
        (0.2, 0.2),
        (middle, middle),
        (0.2 * root2, 0.2 / root2),
        (0.2 / root2, 0.2 * root2),
        (0.2 * root3, 0.2 / root3),
        (0.2 / root3, 0.2 * root3),
    ]
    expected = [(8 / 300, 8 / 300, *size) for size in sizes]
    assert np.allclose(prior_boxes(MAPS)[:6], expected, rtol=0, atol=1e-15)


def test_priors_go_through_columns_then_rows_then_maps():
    priors = prior_boxes(MAPS)
    assert np.allclose(priors[6, :2], [24 / 300, 8 / 300])  # the next column
    assert np.allclose(priors[19 * 6, :2], [8 / 300, 24 / 300])  # the next row
    assert np.allclose(priors[361 * 6, :2], [16 / 300, 16 / 300])  # the next map, of stride 32
    assert np.allclose(priors[-6:, :2], 0.5)  # one cell


def test_large_priors_are_clipped():
    wide, high = prior_boxes(MAPS)[-4:-2]  # 285 sqrt(2) by 285 / sqrt(2)
    assert wide.tolist() == pytest.approx([0.5, 0.5, 1, 0.95 / math.sqrt(2)])
    assert high.tolist() == pytest.approx([0.5, 0.5, 0.95 / math.sqrt(2), 1])


def test_priors_of_other_images():
    priors = prior_boxes([(2, 4)], (32, 64), sizes=[(60, 105)], strides=[16], ratios=[])
    assert priors[::2, 0].tolist() == [0.125, 0.375, 0.625, 0.875] * 2
    assert priors[::2, 1].tolist() == [0.25] * 4 + [0.75] * 4


@pytest.mark.parametrize(
    ("maps", "settings"),
    [
        ([(1, 1)], {}),
        ([(0, 1)], {"sizes": [(60, 105)], "strides": [16]}),
        ([(1, 1)], {"sizes": [(0, 105)], "strides": [16]}),
        ([(1, 1)], {"sizes": [(60, 105)], "strides": [0]}),
    ],
)
def test_priors_that_cannot_be(maps, settings):
    with pytest.raises(InputError, match="feature map"):
        prior_boxes(maps, **settings)


def test_codes_by_hand():
    prior, object_ = box(0.5, 0.5, 0.2, 0.4), box(0.51, 0.48, 0.4, 0.2)
    expected = [0.01 / 0.2 / 0.1, -0.02 / 0.4 / 0.1, math.log(2) / 0.2, -math.log(2) / 0.2]
    assert encode(object_, prior)[0].tolist() == pytest.approx(expected)


def test_code_zero_is_the_prior():
    prior = box(0.5, 0.5, 0.2, 0.4)
    assert decode(np.zeros((1, 4)), prior).tolist() == prior.tolist()


@given(BOXES, BOXES)
def test_decoding_reverses_encoding(one, other):
    back = decode(encode(box(*one), box(*other)), box(*other))
    assert np.allclose(back, box(*one), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-1, 1), (math.nan, 1)])
def test_boxes_without_size_have_no_code(size):
    with pytest.raises(InputError, match="no width or height"):
        encode(box(0, 0, *size), box(0, 0, 1, 1))
    with pytest.raises(InputError, match="no width or height"):
        encode(box(0, 0, 1, 1), box(0, 0, *size))


def test_enormous_codes_become_infinite_without_a_warning():
    assert np.isinf(decode(box(0, 0, 1e6, 0).astype(np.float32), box(0, 0, 1, 1))[0, 2])


def objects(boxes, labels, difficult):
    return Objects(
        np.array(boxes, float).reshape(-1, 4), np.array(labels, int), np.array(difficult, bool)
    )


def test_no_objects():
    assert len(objects([], [], [])) == 0


@pytest.mark.parametrize(
    ("boxes", "labels", "difficult"),
    [
        ([[0, 0, 1, 1]], [0], [False]),
        ([[0, 0, 1, 1]], [1, 1], [False]),
        ([[0, 0, 1, 1]], [1], [False, True]),
        ([[1, 0, 0, 1]], [1], [False]),
        ([[0, 0, 1, 0]], [1], [False]),
        ([[0, 0, 1, math.nan]], [1], [False]),
        ([[0, 0, math.inf, 1]], [1], [False]),
    ],
)
def test_objects_that_cannot_be(boxes, labels, difficult):
    with pytest.raises(InputError):
        objects(boxes, labels, difficult)
