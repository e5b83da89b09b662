"""Image classification data with a train and a test split, and its HDF5 file.

The file (format "fcpts-ref dataset", version 1)::

    attributes  format, version, name, label_names (one per line), scale, provenance, licence,
                augmentation (optional, by default "crop")
    train/      images uint8 (N, C, H, W), labels int64 (N,)
    test/       the same
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.errors import InputError
from fcpts_ref.storage.hdf5 import (
    open_hdf5,
    read_array,
    read_group,
    read_integer,
    read_text,
    write_array,
    write_hdf5,
    write_text,
)

FORMAT = "fcpts-ref dataset"
VERSION = 1


@dataclass(frozen=True)
class Split:
    """Images and the class of each."""

    images: NDArray[np.uint8]  # (N, C, H, W), values 0 .. Dataset.scale
    labels: NDArray[np.int64]  # (N,), values 0 .. K-1

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set of K classes, checked on construction, which raises InputError.

    ``scale`` is the pixel value that means 1.0 (255 for CIFAR, 16 for the digits).
    ``provenance`` tells where the images come from, with checksums of the files read.
    ``augmentation`` preserves the class of an image: digits may be shifted but not mirrored.
    """

    name: str
    train: Split
    test: Split
    label_names: tuple[str, ...]
    scale: int
    provenance: str
    licence: str
    augmentation: str = "crop"

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 255:
            raise InputError(f"scale is {self.scale}, expected 1 to 255")
        if not self.label_names or any(not n or "\n" in n for n in self.label_names):
            raise InputError("label names should be one non-empty line each, at least one")
        if self.augmentation not in AUGMENTATIONS:
            raise InputError(
                f"augmentation is {self.augmentation!r}, expected one of {', '.join(AUGMENTATIONS)}"
            )
        for name, split in self.splits():
            _check_split(f"{name} split of {self.name}", split, len(self.label_names), self.scale)
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise InputError(
                f"training images are {self.train.images.shape[1:]}, test images "
                f"{self.test.images.shape[1:]}: expected one shape"
            )

    def splits(self) -> Iterator[tuple[str, Split]]:
        """Yield ("train", ...) and ("test", ...)."""
        yield "train", self.train
        yield "test", self.test

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        C, H, W = self.train.images.shape[1:]
        return C, H, W

    def as_floats(self, images: NDArray[np.uint8], dtype: DTypeLike = np.float32) -> np.ndarray:
        """Return images / scale in [0, 1], cast first and then divided, as frameworks do."""
        return as_floats(images, self.scale, dtype)


def as_floats(
    images: NDArray[np.uint8], scale: int = 255, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Return uint8 images of any shape as floats in [0, 1]."""
    return np.divide(images, scale, dtype=dtype)


def _check_split(what: str, split: Split, classes: int, scale: int) -> None:
    """Raise InputError unless images and labels have their shapes, dtypes and ranges."""
    images, labels = split.images, split.labels
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"{what}: images are {images.dtype} {images.shape}, expected uint8 (N, C, H, W)"
        )
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        raise InputError(
            f"{what}: labels are {labels.dtype} {labels.shape}, expected int64 ({len(images)},)"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(
            f"{what}: labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
        )
    if images.max() > scale:
        raise InputError(f"{what}: pixel value {images.max()} is above the scale {scale}")


def write_dataset(path: Path | str, dataset: Dataset) -> None:
    """Write ``dataset`` to one HDF5 file, whole or not at all; InputError if that fails."""

    def fill(file: h5py.File) -> None:
        write_text(file, "name", dataset.name)
        write_text(file, "label_names", "\n".join(dataset.label_names))
        file.attrs["scale"] = np.int64(dataset.scale)
        write_text(file, "provenance", dataset.provenance)
        write_text(file, "licence", dataset.licence)
        write_text(file, "augmentation", dataset.augmentation)
        for name, split in dataset.splits():
            group = file.create_group(name)
            for key, array in (("images", split.images), ("labels", split.labels)):
                write_array(group, key, array)

    write_hdf5(path, FORMAT, VERSION, fill)


def read_dataset(path: Path | str) -> Dataset:
    """Read the data set that ``write_dataset`` wrote.

    Raises InputError, one line, for a file that is truncated, damaged, foreign, of a newer
    version, or whose arrays, labels or checksums are wrong.
    """
    with open_hdf5(path, FORMAT, VERSION) as file:
        return Dataset(
            name=read_text(file, "name"),
            train=_read_split(file, "train"),
            test=_read_split(file, "test"),
            label_names=tuple(read_text(file, "label_names").split("\n")),
            scale=read_integer(file, "scale"),
            provenance=read_text(file, "provenance"),
            licence=read_text(file, "licence"),
            augmentation=read_text(file, "augmentation")
            if "augmentation" in file.attrs
            else "crop",
        )


def _read_split(file: h5py.File, name: str) -> Split:
    group = read_group(file, name)
    images = read_array(group, "images", "|u1", dimensions=4)
    labels = read_array(group, "labels", "<i8", dimensions=1)
    return Split(images, labels.astype(np.int64, copy=False))
