"""The data set file: exact round trip, and everything else refused in one line."""

import dataclasses

import h5py
import numpy as np
import pytest
from damage import damaged_copies, survives

from fcpts_ref.data.dataset import Dataset, as_floats, read_dataset, write_dataset
from fcpts_ref.data.split import NO_IMAGES, Split
from fcpts_ref.errors import InputError
from fcpts_ref.resources import resource_path


def make_split(count, seed):
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 17, (count, 1, 8, 8), dtype=np.uint8)
    return Split(images, draw.integers(0, 3, count))


def make_dataset(**changes):
    fields = {
        "name": "toy",
        "train": make_split(7, 1),
        "test": make_split(2, 2),
        "label_names": ("null", "eins", "zwölf"),
        "scale": 16,
        "provenance": "drawn at random",
        "licence": "CC0",
    }
    return Dataset(**(fields | changes))


def same(a, b):
    return (
        all(
            np.array_equal(x.images, y.images) and np.array_equal(x.labels, y.labels)
            for (_, x), (_, y) in zip(a.splits(), b.splits(), strict=True)
        )
        and dataclasses.replace(a, train=b.train, test=b.test) == b
    )


@pytest.fixture
def path(tmp_path):
    write_dataset(tmp_path / "toy.h5", make_dataset())
    return tmp_path / "toy.h5"


def test_round_trip(path):
    found = read_dataset(path)
    assert same(found, make_dataset())
    assert found.image_shape == (1, 8, 8)
    assert len(found.train) == 7
    assert found.train.labels.dtype == np.int64


def test_labels_and_splits_may_be_missing(tmp_path):
    path = tmp_path / "a.h5"
    images = make_split(4, 1).images
    write_dataset(path, make_dataset(train=Split(images), test=NO_IMAGES, label_names=()))
    found = read_dataset(path)
    assert np.array_equal(found.train.images, images)
    assert (found.train.labels, len(found.test), found.label_names) == (None, 0, ())
    write_dataset(path, make_dataset(train=Split(images)))
    found = read_dataset(path)
    assert found.train.labels is None
    assert same(found, dataclasses.replace(make_dataset(), train=found.train))


def test_many_long_names(tmp_path):
    names = tuple(f"class {i} {'x' * 90}" for i in range(1000))  # over HDF5's 64 KiB of attributes
    write_dataset(tmp_path / "a.h5", make_dataset(label_names=names))
    assert read_dataset(tmp_path / "a.h5").label_names == names


def test_files_of_version_1(path, tmp_path):
    digits = read_dataset(resource_path("digits.h5"))
    with h5py.File(resource_path("digits.h5")) as file:
        assert file.attrs["version"] == 1
    assert digits.label_names == tuple("0123456789")
    assert digits.numbered
    assert not make_dataset().numbered


def test_augmentation_is_kept_and_may_be_missing(tmp_path):
    path = tmp_path / "a.h5"
    write_dataset(path, make_dataset(augmentation="crop-flip"))
    assert read_dataset(path).augmentation == "crop-flip"
    with h5py.File(path, "r+") as file:
        del file.attrs["augmentation"]
    assert read_dataset(path).augmentation == "crop"


def test_one_image_is_enough(tmp_path):
    write_dataset(tmp_path / "a.h5", make_dataset(train=make_split(1, 1)))
    assert len(read_dataset(tmp_path / "a.h5").train) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [16, 255])
def test_as_floats_casts_then_divides(dtype, scale):
    images = np.arange(scale + 1, dtype=np.uint8)
    floats = as_floats(images, scale, dtype)
    assert floats.dtype == dtype
    assert floats[0] == 0
    assert floats[-1] == 1
    assert np.array_equal(floats, images.astype(dtype) / dtype(scale))
    assert np.array_equal(
        make_dataset().as_floats(images[:17], dtype), as_floats(images[:17], 16, dtype)
    )


ONE = np.zeros((1, 1, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": 0}, "scale is 0"),
        ({"scale": 256}, "scale is 256"),
        ({"scale": 15}, "pixel value 16 is above the scale 15"),
        ({"label_names": ()}, "label names"),
        ({"label_names": ("a", "b\nc", "d")}, "label names"),
        ({"label_names": ("a", "b")}, "labels from 0 to 2, expected 0 to 1"),
        ({"train": Split(ONE, np.array([-1]))}, "labels from -1 to -1, expected 0 to 2"),
        ({"train": Split(ONE, np.array([3]))}, "labels from 3 to 3"),
        ({"train": Split(ONE, np.array([0, 1]))}, r"labels are int64 \(2,\), expected int64 \(1,"),
        ({"train": Split(ONE, np.array([0.0]))}, "labels are float64"),
        ({"train": Split(ONE + 255.0, np.array([0]))}, "images run from 255 to 255; expected"),
        ({"train": Split(ONE.astype(int), np.array([0]))}, "images are int64"),
        (
            {"train": Split(ONE.astype(np.uint16), np.array([0]))},
            "images are uint16, expected uint8",
        ),
        ({"train": NO_IMAGES, "test": NO_IMAGES}, "label names"),
        ({"train": NO_IMAGES, "test": NO_IMAGES, "label_names": ()}, "have no images"),
        ({"train": Split(ONE[0], np.array([0]))}, r"images are uint8 \(1, 8, 8\)"),
        ({"train": Split(ONE[:0], np.array([], np.int64))}, r"images are uint8 \(0, 1"),
        (
            {"augmentation": "mixup"},
            "augmentation is 'mixup', expected one of none, crop, crop-flip",
        ),
        ({"test": Split(ONE[:, :, 1:], np.array([0]))}, "expected one shape"),
    ],
)
def test_invalid_data_sets(changes, message):
    with pytest.raises(InputError, match=message):
        make_dataset(**changes)


def changed(path, action):
    with h5py.File(path, "r+") as file:
        action(file)
    return path


def replace(name, array):
    def action(file):
        del file[name]
        file[name] = array
        file[name].attrs["sha256"] = np.bytes_(b"0" * 64)

    return action


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda f: f.attrs.__setitem__("version", np.int64(3)), "version 3 .* update"),
        (lambda f: f.attrs.__setitem__("format", np.bytes_(b"x")), "not of the format"),
        (lambda f: f.attrs.__setitem__("scale", np.int64(3)), "above the scale"),
        (lambda f: f.attrs.__delitem__("licence"), "licence is missing"),
        (lambda f: f.__delitem__("train/images"), "/train/images is missing"),
        (lambda f: f.__delitem__("label_names"), "label names"),
        (replace("train/labels", np.zeros(7)), "labels is float64"),
        (replace("train/images", np.zeros((7, 64), np.uint8)), "images is uint8 with 2"),
        (replace("train/labels", np.zeros(7, np.int64)), "checksum"),
        (
            lambda f: f["train/images"].__setitem__((0, 0, 0, 0), 9),
            "images does not match",
        ),
    ],
)
def test_a_changed_file_is_refused(path, action, message):
    with pytest.raises(InputError, match=message) as caught:
        read_dataset(changed(path, action))
    assert str(path) in str(caught.value)


def test_damaged_files_are_refused_or_read_right(path, tmp_path):
    whole = make_dataset()
    read = [
        survives(read_dataset, tmp_path / "damaged.h5", content)
        for content in damaged_copies(path.read_bytes(), 600)
    ]
    assert sum(found is None for found in read) > 500  # the rest fell on unused bytes
    assert all(same(found, whole) for found in read if found is not None)
