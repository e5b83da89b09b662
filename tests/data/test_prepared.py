"""Images made when they are indexed: the same bits for any number of threads, bounded memory."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import pixels, save

from fcpts_ref.data.augmentation import augment, draw_views, resized_view, view
from fcpts_ref.data.pictures import CorruptPicture, Files
from fcpts_ref.data.prepared import AHEAD, as_prepared, batches_of, prepare, readable, seen_images
from fcpts_ref.data.preprocessing import PRESETS, Preprocessing
from fcpts_ref.data.resizing import centre_view
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import ImageSequence, check_images

SMALL = Preprocessing(9, 8)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tuple(save(tmp_path / f"{i}.png", i, 10 + i, 20 - i) for i in range(7)))


def test_pictures_are_resized_cropped_and_divided(files: Files) -> None:
    images = prepare(files, preprocessing=SMALL)
    assert images.shape == (7, 3, 8, 8)
    assert isinstance(images, ImageSequence)
    found = images[np.array([5, 0])]
    assert found.dtype == np.float32
    for image, number in zip(found, (5, 0), strict=True):
        square = centre_view(pixels(number, 10 + number, 20 - number), 9, 8, "bilinear")
        assert np.array_equal(image, square.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    bgr = prepare(files, preprocessing=Preprocessing(9, 8, order="BGR"), dtype=np.float64)
    assert np.array_equal(bgr[:1].astype(np.float32), images[:1][:, ::-1])


@pytest.mark.parametrize("kind", ["none", "crop", "crop-flip", "resized-crop-flip"])
def test_any_number_of_threads_gives_the_same_bits(files: Files, kind: str) -> None:
    views = draw_views(kind, 7, (8, 8), np.random.default_rng(1))
    order = [np.array([6, 2]), np.array([0, 1, 5]), slice(3, 5)]
    batches = [
        list(prepare(files, preprocessing=SMALL, threads=threads).seen(views).batches(order))
        for threads in (1, 2, 5)
    ]
    for one in batches[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(batches[0], one, strict=True))
    again = prepare(files, preprocessing=SMALL).seen(views)[np.array([6, 2])]
    assert np.array_equal(again, batches[0][0])


def test_views_of_pictures_are_of_the_whole_picture(files: Files) -> None:
    views = draw_views("resized-crop-flip", 7, (8, 8), np.random.default_rng(1))
    found = prepare(files, preprocessing=SMALL).seen(views)[2:3]
    expected = resized_view(pixels(2, 12, 18), int(views[2, 0]), (8, 8))
    assert np.array_equal(found[0] * np.float32(255), expected.transpose(2, 0, 1))


def test_views_of_arrays_are_those_of_augment() -> None:
    x = np.random.default_rng(0).random((6, 3, 16, 16))
    for kind in ("none", "crop", "crop-flip", "resized-crop-flip"):
        views = draw_views(kind, 6, (16, 16), np.random.default_rng(5))
        chosen = np.array([4, 1])
        seen = seen_images(x, views)[chosen]
        assert np.array_equal(seen, view(x[chosen], views[chosen]))
        assert np.array_equal(augment(x, kind, np.random.default_rng(5)), view(x, views))
        assert seen.dtype == np.float64
        assert 0 <= seen.min() <= seen.max() <= 1


def test_uint8_arrays_are_cast_and_divided() -> None:
    x = np.random.default_rng(0).integers(0, 17, (5, 1, 4, 4), np.uint8)
    images = prepare(x, scale=16, chosen=[3, 1])
    assert images.shape == (2, 1, 4, 4)
    assert np.array_equal(images[:], x[[3, 1]].astype(np.float32) / np.float32(16))
    assert images.astype(np.float64)[:].dtype == np.float64
    assert np.array_equal(images.subset(np.array([1]))[:], images[1:])


def test_arrays_are_preprocessed_too() -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 12, 12), np.uint8)
    found = prepare(x, preprocessing=Preprocessing(None, 8))[:]
    assert np.array_equal(found, x[:, :, 2:10, 2:10].astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("bad", [255.0, 1.5, -0.1, np.nan])
def test_floats_out_of_range_are_refused(bad: float) -> None:
    x = np.full((3, 1, 4, 4), 0.5)
    x[2, 0, 1, 1] = bad
    images = prepare(x)
    assert images[:2].max() == 0.5
    with pytest.raises(InputError, match=r"expected (finite numbers in )?\[0, 1\]"):
        images[1:]


def test_the_first_bad_picture_is_named_whatever_the_threads(files: Files, tmp_path: Path) -> None:
    for name in ("2.png", "5.png"):
        (tmp_path / name).write_bytes(b"nothing")
    for threads in (1, 4):
        with pytest.raises(CorruptPicture, match=r"2\.png is not a picture"):
            list(prepare(files, preprocessing=SMALL, threads=threads).chunks())


def test_corrupt_pictures_are_left_out_when_asked(files: Files, tmp_path: Path) -> None:
    (tmp_path / "2.png").write_bytes(b"nothing")
    said: list[str] = []
    left = readable(prepare(files, preprocessing=SMALL), said.append)
    assert left.chosen.tolist() == [0, 1, 3, 4, 5, 6]
    assert len(said) == 1
    assert said[0].startswith("left out:")
    assert "2.png is not a picture" in said[0]
    with pytest.raises(InputError, match="none of the pictures can be decoded"):
        readable(left.subset(np.array([], np.int64)))


def test_pictures_of_any_size_need_a_preprocessing(files: Files) -> None:
    with pytest.raises(InputError, match="--preprocess"):
        prepare(files)


def test_checks_of_a_sequence(files: Files) -> None:
    from small_networks import classifier

    from fcpts_ref.graphs.graph import Node

    graph = classifier("c", (3, 8, 8), (Node("flat", "flatten", ("images",)),))
    images = prepare(files, preprocessing=SMALL)
    assert check_images(graph, images) is images
    with pytest.raises(InputError, match=r"images have shape \(7, 3, 6, 6\)"):
        check_images(graph, prepare(files, preprocessing=Preprocessing(9, 6)))
    with pytest.raises(InputError, match="there are no images"):
        check_images(graph, images.subset(np.array([], np.int64)))


def test_checksums() -> None:
    x = np.random.default_rng(0).integers(0, 256, (70, 1, 4, 4), np.uint8)
    from fcpts_ref.storage.hdf5 import array_sha256

    assert prepare(x).sha256() == array_sha256(x.astype(np.float32) / np.float32(255))


def test_checksums_of_files_know_the_preprocessing(files: Files, tmp_path: Path) -> None:
    first = prepare(files, preprocessing=SMALL).sha256()
    assert first != prepare(files, preprocessing=Preprocessing(9, 7)).sha256()
    assert first == prepare(files, preprocessing=SMALL, threads=3).sha256()
    save(tmp_path / "6.png", 99)
    assert first != prepare(files, preprocessing=SMALL).sha256()


class Endless:
    """Many pictures, counted; no two threads need to read at the same moment."""

    shape = None

    def __init__(self) -> None:
        self.read_so_far: list[int] = []
        self.pictures: list[weakref.ref[Any]] = []
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return 2000

    def read(self, index: int) -> Any:
        picture = np.full((96, 100, 3), index % 256, np.uint8)
        with self.lock:
            self.read_so_far.append(index)
            self.pictures.append(weakref.ref(picture))
        return picture

    def sha256(self, chosen: Any) -> str:
        return "0"


def test_only_a_few_batches_are_read_ahead_and_held() -> None:
    """What is held is counted, not measured: a peak of memory depends on how threads run."""
    source, threads = Endless(), 2
    images = prepare(source, preprocessing=Preprocessing(None, 96), threads=threads)
    yielded: list[weakref.ref[Any]] = []
    for used, batch in enumerate(
        batches_of(images, (slice(i, i + 10) for i in range(0, 2000, 10)))
    ):
        assert batch.shape == (10, 3, 96, 96)
        assert len(source.read_so_far) <= 10 * (used + 1 + AHEAD)
        yielded.append(weakref.ref(batch))
        # a thread may still be letting go of the last batch that it filled
        assert sum(held() is not None for held in yielded) <= 1 + threads
        assert sum(held() is not None for held in source.pictures) <= threads
    assert len(yielded) == 200


def test_as_prepared_keeps_a_sequence() -> None:
    images = as_prepared(np.zeros((2, 1, 4, 4)))
    assert as_prepared(images) is images
    assert images.dtype == np.float64


def test_every_preset_prepares_a_picture(tmp_path: Path) -> None:
    files = Files((save(tmp_path / "a.jpg", 1, 60, 40),))
    for known in PRESETS.values():
        assert prepare(files, preprocessing=known)[:].shape == (1, *known.shape)
