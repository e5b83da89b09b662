"""Data sets by kind and path, and NumPy's files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fcpts_ref.data.npz import read_npz
from fcpts_ref.data.sources import SOURCES, find_dataset
from fcpts_ref.errors import InputError


def arrays(**changed: Any) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    given = {
        "images": generator.integers(0, 256, (6, 3, 4, 4), np.uint8),
        "labels": np.array([0, 1, 2, 0, 1, 2]),
        "test_images": generator.integers(0, 256, (2, 3, 4, 4), np.uint8),
        "test_labels": np.array([2, 1], np.uint8),
    }
    return {name: a for name, a in (given | changed).items() if a is not None}


def save(path: Path, **changed: Any) -> Path:
    np.savez(path, **arrays(**changed))
    return path


def test_an_npz_file(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.npz", label_names=np.array(["cat", "dog", "owl"]))
    for name in (str(path), f"npz:{path}"):
        dataset = find_dataset(name, None)
        assert dataset.label_names == ("cat", "dog", "owl")
        assert np.array_equal(dataset.train.images, arrays()["images"])
        assert dataset.test.labels.tolist() == [2, 1]
        assert dataset.name == "mine"
    assert read_npz(save(tmp_path / "plain.npz")).label_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": None}, "has no array 'images'; expected it and perhaps labels"),
        ({"images": np.zeros((6, 4, 4), np.uint8)}, r"images are uint8 \(6, 4, 4\); expected"),
        ({"images": np.zeros((6, 3, 4, 4)) + 255}, "images run from 255 to 255; expected"),
        ({"images": np.zeros((6, 3, 4, 4)) - 1.5}, "images run from -1.5 to -1.5; expected"),
        ({"images": np.zeros((6, 3, 4, 4), int)}, "images are int64"),
        ({"labels": np.full(6, 1 << 40)}, "label 1099511627776 is not below"),
        ({"labels": np.zeros(6)}, r"labels are float64 \(6,\); expected whole numbers"),
        ({"labels": np.zeros(5, int)}, "labels are int64"),
        ({"labels": np.full(6, -1)}, "expected 0 to"),
        ({"labels": np.array([{}] * 6)}, "not a readable .npz file"),
        ({"label_names": np.array(["cat"])}, "expected 0 to 0"),
    ],
)
def test_refused_arrays(tmp_path: Path, changed: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_npz(save(tmp_path / "x.npz", **changed))
    assert "\n" not in str(caught.value)


def test_labels_and_test_images_are_optional(tmp_path: Path) -> None:
    data = read_npz(save(tmp_path / "x.npz", labels=None, test_images=None, test_labels=None))
    assert (data.train.labels, len(data.test), data.label_names) == (None, 0, ())
    data = read_npz(save(tmp_path / "y.npz", labels=None))
    assert data.train.labels is None
    assert data.test.labels.tolist() == [2, 1]


def test_channels_may_be_last_and_floats_in_0_1(tmp_path: Path) -> None:
    images = arrays()["images"].transpose(0, 2, 3, 1)
    data = read_npz(save(tmp_path / "x.npz", images=images))
    assert np.array_equal(data.train.images, arrays()["images"])
    floats = arrays()["images"] / 255.0
    data = read_npz(save(tmp_path / "y.npz", images=floats, test_images=None, test_labels=None))
    assert np.array_equal(data.prepare(data.train, np.float64)[:], floats)


def test_an_npy_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, arrays()["images"])
    data = find_dataset(str(path), None)
    assert isinstance(data.train.images, np.memmap)
    assert (data.image_shape, data.train.labels, len(data.test)) == ((3, 4, 4), None, 0)
    assert np.array_equal(data.prepare(data.train)[2:4], arrays()["images"][2:4] / np.float32(255))
    np.save(path, arrays()["images"].astype(np.float32))
    with pytest.raises(InputError, match="expected \\[0, 1\\]: divide 8-bit values by 255"):
        data = find_dataset(str(path), None)
    for content, message in (
        (b"", "not a readable .npy file"),
        (path.read_bytes()[:-1], "not a readable .npy file"),
        (b"PK\x03\x04", "not a readable .npy file"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            find_dataset(str(path), None)
    with pytest.raises(InputError, match="no such file"):
        find_dataset("absent.npy", None)


def write_h5(path: Path, *, chunks: bool = False, **changed: Any) -> str:
    with h5py.File(path, "w") as file:
        for name, array in arrays(**changed).items():
            options = {"chunks": (1, *array.shape[1:]), "compression": "gzip"} if chunks else {}
            file.create_dataset(name, data=array, **options)
    return str(path)


@pytest.mark.parametrize("chunks", [False, True])
def test_hdf5_files_of_other_programs(tmp_path: Path, chunks: bool) -> None:
    data = find_dataset(write_h5(tmp_path / "x.h5", chunks=chunks), None)
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.test.labels.tolist() == [2, 1]
    for split, name in ((data.train, "images"), (data.test, "test_images")):
        found = data.prepare(split)
        assert np.array_equal(found[:], arrays()[name] / np.float32(255))
        assert np.array_equal(found[np.array([1, 0])], arrays()[name][[1, 0]] / np.float32(255))
    other = find_dataset(write_h5(tmp_path / "y.h5", images=arrays()["images"][::-1]), None)
    assert other.prepare(other.train).sha256() != data.prepare(data.train).sha256()


def test_hdf5_files_that_do_not_fit(tmp_path: Path) -> None:
    for changed, message in (
        ({"images": arrays()["images"] * 1.0}, "expected \\[0, 1\\]"),
        ({"images": np.zeros((6, 12), np.uint8)}, "expected uint8 from 0 to 255"),
        ({"images": np.zeros((6, 3, 4, 4), int)}, "images are int64"),
        ({"labels": np.zeros(6)}, "labels are float64"),
        ({"labels": np.zeros(5, int)}, "labels are int64"),
        ({"images": None}, "not of the format"),
    ):
        with pytest.raises(InputError, match=message):
            find_dataset(write_h5(tmp_path / "x.h5", **changed), None)
    images = np.zeros((6, 3, 4, 4))
    images[4] = 255
    data = find_dataset(write_h5(tmp_path / "late.h5", images=images), None)
    with pytest.raises(InputError, match="images run from 255 to 255"):
        data.prepare(data.train)[:]  # noticed when it is read


def test_a_small_file_of_much_memory_is_refused_first(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, **arrays(images=np.zeros((4000, 3, 32, 32), np.uint8)))
    with pytest.raises(InputError, match="over 64 times its size"):
        read_npz(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    for name, message in (
        ("text.npz", "not a readable .npz file"),
        ("other.npz", "has no array 'images'"),
        ("absent.npz", "cannot read"),
    ):
        with pytest.raises(InputError, match=message):
            read_npz(tmp_path / name)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        read_npz(tmp_path / "folder.npz")


def test_a_claimed_shape_takes_no_memory(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776, 3, 32, 32), }"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(save(tmp_path / "x.npz", images=None), "a") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(InputError, match=r"claims the shape .* holds only"):
        read_npz(tmp_path / "x.npz")


def test_a_damaged_compressed_array(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable \.npz file"):
        read_npz(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../digits", "folder/"])
def test_paths_of_unknown_kind(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is a path of unknown kind; give it as one of h5:PATH"):
        find_dataset(name, str(tmp_path))


def test_names_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name its path: h5:PATH, npz:PATH") as caught:
        find_dataset("cifar99", str(tmp_path))
    for kind in SOURCES:
        assert f"{kind}:PATH" in str(caught.value)


def test_every_source_says_what_it_reads() -> None:
    endings = [ending for source in SOURCES.values() for ending in source.endings]
    assert len(set(endings)) == len(endings)
    assert all(source.description for source in SOURCES.values())
