"""Views of annotated pictures: cases by hand, bounds, and pixels that move with their boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcpts_ref.data.augmentation import view
from fcpts_ref.data.pictures import file_list
from fcpts_ref.data.prepared import prepare
from fcpts_ref.data.preprocessing import preprocessing
from fcpts_ref.data.resizing import window_view
from fcpts_ref.detection import augmentation
from fcpts_ref.detection.augmentation import (
    CROP_AREAS,
    CROP_RATIOS,
    DETECTOR_AUGMENTATIONS,
    MOST_ZOOM,
    WHOLE,
    check_augmentation,
    draw_crop,
    draw_view,
    draw_windows,
    draw_zoom,
    holds_centre,
    inside,
    mirrored_boxes,
    relative,
    seen_objects,
)
from fcpts_ref.detection.boxes import Objects, areas, iou
from fcpts_ref.errors import InputError

SEEDS = st.integers(0, 10_000)


def objects(*rows):
    """Objects of rows (left, top, right, bottom, label)."""
    array = np.array(rows, float).reshape(-1, 5)
    return Objects(array[:, :4], array[:, 4].astype(int), np.zeros(len(array), bool))


def random_boxes(rng, n):
    low = rng.random((n, 2)) * 0.8
    return np.concatenate([low, low + 0.02 + rng.random((n, 2)) * (0.98 - low)], axis=1)


def test_mirroring_exchanges_left_and_right():
    boxes = np.array([[0.1, 0.2, 0.4, 0.9]])
    assert mirrored_boxes(boxes) == pytest.approx(np.array([[0.6, 0.2, 0.9, 0.9]]))
    assert mirrored_boxes(mirrored_boxes(boxes)) == pytest.approx(boxes)


def test_a_crop_by_hand():
    """The right half: one object lies in it, one crosses it by its centre, one does not."""
    some = objects((0.6, 0.2, 0.8, 0.4, 1), (0.4, 0, 0.8, 1, 2), (0.1, 0, 0.7, 1, 3))
    seen = seen_objects(some, np.array([0.5, 0, 1, 1, 0]))
    assert seen.labels.tolist() == [1, 2]
    assert seen.boxes == pytest.approx(np.array([[0.2, 0.2, 0.6, 0.4], [0, 0, 0.6, 1]]))
    flipped = seen_objects(some, np.array([0.5, 0, 1, 1, 1]))
    assert flipped.boxes == pytest.approx(np.array([[0.4, 0.2, 0.8, 0.4], [0.4, 0, 1, 1]]))


def test_zooming_out_by_hand():
    """A window of twice the width around the picture halves the boxes."""
    seen = seen_objects(objects((0.2, 0.4, 0.6, 0.8, 5)), np.array([-0.5, -0.5, 1.5, 1.5, 0]))
    assert seen.boxes == pytest.approx(np.array([[0.35, 0.45, 0.55, 0.65]]))


def test_a_centre_on_the_border_is_outside():
    boxes = np.array([[0.4, 0.4, 0.6, 0.6], [0.41, 0.4, 0.61, 0.6]])
    windows = np.array([[0.5, 0, 1, 1], WHOLE])
    assert holds_centre(windows, boxes).tolist() == [[False, True], [True, True]]


def test_difficult_objects_stay_difficult():
    some = objects((0.1, 0.1, 0.2, 0.2, 1), (0.6, 0.6, 0.9, 0.9, 2))
    some = Objects(some.boxes, some.labels, np.array([False, True]))
    assert seen_objects(some, np.array([0.5, 0.5, 1, 1, 0])).difficult.tolist() == [True]


@given(SEEDS)
def test_windows_of_windows(seed):
    rng = np.random.default_rng(seed)
    outer, inner, boxes = (random_boxes(rng, n) for n in (1, 1, 3))
    both = inside(outer[0], inner[0])
    assert relative(relative(boxes, outer[0]), inner[0]) == pytest.approx(relative(boxes, both))


@given(SEEDS)
def test_bounds_of_windows(seed):
    windows = draw_windows(30, np.random.default_rng(seed))
    assert windows.min() >= 0
    assert windows.max() <= 1 + 1e-12
    width, height = (windows[:, 2:] - windows[:, :2]).T
    assert (width / height >= CROP_RATIOS[0] - 1e-9).all()
    assert (width / height <= CROP_RATIOS[1] + 1e-9).all()
    assert (areas(windows) <= CROP_AREAS[1] + 1e-9).all()
    assert (areas(windows) >= CROP_AREAS[0] - 1e-9).all()
    left, top, right, bottom = draw_zoom(np.random.default_rng(seed))
    assert max(left, top) <= 0
    assert min(right, bottom) >= 1
    assert right - left == pytest.approx(bottom - top)
    assert right - left <= MOST_ZOOM


@pytest.mark.parametrize("least", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_crops_overlap_an_object_enough(monkeypatch, least):
    monkeypatch.setattr(augmentation, "MINIMUM_OVERLAPS", (least,))
    rng = np.random.default_rng(0)
    boxes, cut = np.array([[0.1, 0.1, 0.9, 0.8], [0.7, 0.7, 0.8, 0.8]]), 0
    for _ in range(50):
        window = draw_crop(boxes, rng)
        if window.tolist() != list(WHOLE):
            cut += 1
            assert iou(window[np.newaxis], boxes).max() >= least
            assert holds_centre(window[np.newaxis], boxes).any()
    assert cut > 0


def test_the_whole_picture_is_taken(monkeypatch):
    rng = np.random.default_rng(0)
    assert all(draw_crop(np.empty((0, 4)), rng).tolist() == list(WHOLE) for _ in range(20))
    monkeypatch.setattr(augmentation, "MINIMUM_OVERLAPS", (None,))
    assert draw_crop(np.array([[0, 0, 0.5, 0.5]]), rng).tolist() == list(WHOLE)
    monkeypatch.setattr(augmentation, "MINIMUM_OVERLAPS", (0.9,))  # out of reach of small objects
    assert draw_crop(np.array([[0.5, 0.5, 0.55, 0.55]]), rng).tolist() == list(WHOLE)


@given(SEEDS, st.sampled_from(DETECTOR_AUGMENTATIONS), st.integers(0, 4))
def test_views_of_every_kind(seed, kind, n):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, n)
    some = Objects(boxes, np.arange(1, n + 1), np.zeros(n, bool))
    drawn = draw_view(kind, boxes, np.random.default_rng(seed))
    assert drawn.tolist() == draw_view(kind, boxes, np.random.default_rng(seed)).tolist()
    assert drawn.shape == (5,)
    if "flip" not in kind:
        assert drawn[4] == 0
    if "zoom" not in kind:
        assert drawn[:4].min() >= 0
        assert drawn[:4].max() <= 1 + 1e-12
    seen = seen_objects(some, drawn)  # which checks boxes
    assert n == 0 or len(seen) > 0
    assert n == 0 or (seen.boxes.min() >= 0 and seen.boxes.max() <= 1)


def test_none_is_the_picture_itself_and_draws_nothing():
    rng = np.random.default_rng(0)
    assert draw_view("none", random_boxes(np.random.default_rng(1), 3), rng).tolist() == [*WHOLE, 0]
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_flips_and_zooms_happen():
    rng = np.random.default_rng(0)
    boxes = random_boxes(np.random.default_rng(1), 3)
    drawn = np.stack([draw_view("ssd-zoom-crop-flip", boxes, rng) for _ in range(200)])
    assert 60 < drawn[:, 4].sum() < 140
    assert 0 < (drawn[:, :4].min(axis=1) < 0).sum() < 140


@pytest.mark.parametrize("kind", ["crop", "resized-crop-flip", "SSD-crop", ""])
def test_other_kinds(kind):
    with pytest.raises(InputError, match="expected one of none, ssd-crop"):
        check_augmentation(kind)


# Pixels


def bright(H=40, W=60, box=(15, 10, 45, 30), dtype=np.uint8):
    """A black picture (H, W, 3) with a white box of pixels, and its box in shares."""
    picture = np.zeros((H, W, 3), dtype)
    left, top, right, bottom = box
    picture[top:bottom, left:right] = 255 if dtype == np.uint8 else 1
    return picture, np.array([[left / W, top / H, right / W, bottom / H]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("window", [(0.1, 0.1, 0.9, 1.0), (-0.5, -0.25, 1.5, 1.75), WHOLE])
def test_pixels_move_with_their_boxes(window, mirror, dtype):
    pytest.importorskip("PIL")
    picture, boxes = bright(dtype=dtype)
    seen = window_view(picture, np.array(window), (80, 100), "bilinear", mirror)
    assert seen.shape == (80, 100, 3)
    assert seen.dtype == dtype
    thing = Objects(boxes, np.array([1]), np.array([False]))
    (box,) = seen_objects(thing, np.array([*window, mirror])).boxes * [100, 80, 100, 80]
    rows, columns = np.nonzero(seen[..., 0] > 0.7 * seen.max())
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert found == pytest.approx(box, abs=1.6)


def test_outside_the_picture_is_its_mean_colour():
    pytest.importorskip("PIL")
    picture, _ = bright()
    seen = window_view(picture, np.array([-1, -1, 2, 2]), (30, 30), "bilinear", mirror=False)
    mean = picture.mean(axis=(0, 1)).round()
    assert (seen[:9] == mean).all()
    assert (seen[:, 21:] == mean).all()
    assert (seen[10:20, 10:20] != mean).any()


def test_a_sliver_of_the_picture_is_one_pixel():
    pytest.importorskip("PIL")
    seen = window_view(bright()[0], np.array([0.999, 0.0, 2.0, 1.0]), (8, 8), "bilinear", False)
    assert seen.shape == (8, 8, 3)


def test_images_in_memory():
    """Of an array (N, C, H, W), a view of the whole picture is the picture."""
    pytest.importorskip("PIL")
    images = np.random.default_rng(0).random((2, 3, 8, 8)).astype(np.float32)
    views = np.array([[*WHOLE, 0], [*WHOLE, 1]])
    seen = view(images, views)
    assert np.abs(seen[0] - images[0]).max() < 1e-6
    assert np.abs(seen[1] - images[1, :, :, ::-1]).max() < 1e-6


@pytest.mark.parametrize("side", [None, 16])
def test_prepared_images_are_seen_through_their_windows(tmp_path, side):
    """From files, which are resized, and from an array, whose size stays; in any order."""
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 24, 24, 3), np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    files = file_list(sorted(tmp_path.iterdir()))
    source = pictures.transpose(0, 3, 1, 2) if side is None else files
    resized = None if side is None else preprocessing(f"stretch/{side}")
    views = np.stack([draw_view("ssd-zoom-crop-flip", random_boxes(rng, 2), rng) for _ in range(3)])
    images = prepare(source, preprocessing=resized).seen(views)
    size = (side or 24,) * 2
    for number in (2, 0):
        seen = window_view(
            pictures[number], views[number, :4], size, "bilinear", bool(views[number, 4])
        )
        expected = seen.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        assert np.abs(images[np.array([number])][0] - expected).max() < 1e-7
