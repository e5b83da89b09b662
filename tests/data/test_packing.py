"""Packing pictures: whole or not at all, the same bits as the pictures, damage noticed."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from picture_files import class_folders

from fcpts_ref.data.dataset import Dataset, read_dataset
from fcpts_ref.data.folder import read_folder
from fcpts_ref.data.packed import Packed
from fcpts_ref.data.packing import pack
from fcpts_ref.data.preprocessing import Preprocessing
from fcpts_ref.errors import InputError
from fcpts_ref.resources import resource_path


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    class_folders(tmp_path / "pets" / "train", ("cat", "dog"), 3)
    class_folders(tmp_path / "pets" / "val", ("cat", "dog"), 1, seed=30)
    return read_folder(tmp_path / "pets")


def test_packed_pictures_are_those_of_the_folder(pets: Dataset, tmp_path: Path) -> None:
    done: list[int] = []
    report = pack(tmp_path / "pets.h5", pets, 10, on_image=done.append)
    assert report.images == {"train": 6, "test": 2}
    assert report.skipped == ()
    assert sum(done) == 8
    packed = read_dataset(tmp_path / "pets.h5")
    assert packed.image_shape == (3, 10, 10)
    assert (packed.name, packed.label_names) == (pets.name, pets.label_names)
    assert packed.augmentation == pets.augmentation
    for (_, split), (_, of_folder) in zip(packed.splits(), pets.splits(), strict=True):
        assert isinstance(split.images, Packed)
        assert np.array_equal(split.labels, of_folder.labels)
        whole = packed.prepare(split)[:]
        assert np.array_equal(
            whole, pets.prepare(of_folder, preprocessing=Preprocessing(10, 10))[:]
        )
        # Halves are rounded to even, so sizes have to differ by a multiple of 4.
        cropped = packed.prepare(split, preprocessing=Preprocessing(10, 6))[:]
        direct = pets.prepare(of_folder, preprocessing=Preprocessing(10, 6))[:]
        assert np.array_equal(cropped, direct)
    assert list(tmp_path.glob(".*")) == []


def test_any_number_of_threads_writes_the_same_file(pets: Dataset, tmp_path: Path) -> None:
    for threads in (1, 3):
        pack(tmp_path / f"{threads}.h5", pets, 10, threads=threads)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "3.h5").read_bytes()


def test_corrupt_pictures(pets: Dataset, tmp_path: Path) -> None:
    (tmp_path / "pets" / "train" / "cat" / "cat_1.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"cat_1\.png is not a picture.*--skip-corrupt"):
        pack(tmp_path / "pets.h5", pets, 10)
    assert list(tmp_path.iterdir()) == [tmp_path / "pets"]
    report = pack(tmp_path / "pets.h5", pets, 10, skip_corrupt=True)
    assert report.images == {"train": 5, "test": 2}
    assert len(report.skipped) == 1
    packed = read_dataset(tmp_path / "pets.h5")
    assert packed.train.labels.tolist() == [0, 0, 1, 1, 1]
    kept = pets.prepare(pets.train, preprocessing=Preprocessing(10, 10), chosen=[0, 2, 3, 4, 5])
    assert np.array_equal(packed.prepare(packed.train)[:], kept[:])


def test_nothing_is_left_of_a_file_that_cannot_be_written(
    pets: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="its folder does not exist"):
        pack(tmp_path / "nowhere" / "pets.h5", pets, 10)
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match="its disk has less space"):
        pack(tmp_path / "pets.h5", pets, 10)
    assert list(tmp_path.iterdir()) == [tmp_path / "pets"]


def test_arrays_are_not_packed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are arrays already"):
        pack(tmp_path / "x.h5", read_dataset(resource_path("digits.h5")), 8)


def test_damage_is_noticed_when_an_image_is_read(pets: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "pets.h5"
    pack(path, pets, 10)
    packed = read_dataset(path).train
    with open(path, "r+b") as file:
        file.seek(packed.images.offset + 2 * 300 + 7)
        file.write(b"\0\xff\0\xff")
    data = read_dataset(path)
    assert data.prepare(data.train)[:2].shape == (2, 3, 10, 10)
    with pytest.raises(InputError, match="image 2 is damaged: pack the pictures again"):
        data.prepare(data.train)[2:3]
    path.write_bytes(path.read_bytes()[: packed.images.offset + 350])
    with pytest.raises(InputError, match=r"cut short|not wholly"):
        read_dataset(path)
    with pytest.raises(InputError, match="image 1 is damaged"):
        packed.images.read(1)  # of a file that was cut after it was opened


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("crc32", np.zeros(9, np.uint32), "9 checksums for 6 images"),
        ("crc32", np.zeros(6), "crc32 is float64"),
        ("images", np.zeros((6, 30), np.uint8), "expected uint8"),
        ("images", np.zeros((6, 3, 10, 10), np.float32), "expected uint8"),
    ],
)
def test_changed_files(
    pets: Dataset, tmp_path: Path, name: str, array: np.ndarray, message: str
) -> None:
    path = tmp_path / "pets.h5"
    pack(path, pets, 10)
    with h5py.File(path, "r+") as file:
        del file["train"][name]
        file["train"][name] = array
    with pytest.raises(InputError, match=message):
        read_dataset(path)
