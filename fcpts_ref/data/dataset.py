"""Images with a train and a test split, in memory or read when needed, and their HDF5 file.

The file (format "fcpts-ref dataset", version 2)::

    attributes   format, version, name, scale, provenance, licence, augmentation (optional, by
                 default "crop")
    label_names  uint8 (n,): one per line, UTF-8; absent without labels
    train/       images uint8 (N, C, H, W); labels int64 (N,), absent without labels; crc32 uint32
                 (N,), one of each image, in files whose images are read when needed (data.packed)
    test/        the same; a split without images is absent

In version 1 label_names is an attribute, both splits have labels, and images are read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from fcpts_ref.data.augmentation import AUGMENTATIONS
from fcpts_ref.data.packed import read_packed
from fcpts_ref.data.pictures import Pictures
from fcpts_ref.data.prepared import PreparedImages, prepare
from fcpts_ref.data.preprocessing import Preprocessing
from fcpts_ref.data.split import NO_IMAGES, Split, check_split, shape_of
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
VERSION = 2


@dataclass(frozen=True)
class Dataset:
    """A data set of K classes, checked on construction, which raises InputError.

    ``train`` is used to calibrate, ``test`` to evaluate; one of them may be without images.
    ``label_names`` is empty if no split has labels.
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
        labelled = any(split.labels is not None for _, split in self.splits())
        if labelled != bool(self.label_names) or any(not n or "\n" in n for n in self.label_names):
            raise InputError("label names should be one non-empty line each, at least one")
        if not len(self.train) + len(self.test):
            raise InputError(f"data {self.name!r} have no images; expected at least one")
        if self.augmentation not in AUGMENTATIONS:
            raise InputError(
                f"augmentation is {self.augmentation!r}, expected one of {', '.join(AUGMENTATIONS)}"
            )
        for name, split in self.splits():
            check_split(f"{name} split of {self.name}", split, len(self.label_names), self.scale)
        shapes = {shape_of(split) for _, split in self.splits() if len(split)}
        if len(shapes) > 1 and None not in shapes:
            raise InputError(
                f"training images are {shape_of(self.train)}, test images "
                f"{shape_of(self.test)}: expected one shape"
            )

    def splits(self) -> Iterator[tuple[str, Split]]:
        """Yield ("train", ...) and ("test", ...)."""
        yield "train", self.train
        yield "test", self.test

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W), or None for pictures of any size."""
        shapes = {shape_of(split) for _, split in self.splits() if len(split)}
        return shapes.pop() if len(shapes) == 1 else None

    @property
    def object_classes(self) -> tuple[str, ...]:
        """The classes of annotated objects; empty if there are no annotations."""
        known = [split.objects for _, split in self.splits() if split.objects is not None]
        return known[0].classes if known else ()

    @property
    def numbered(self) -> bool:
        """Whether the labels are numbers without names, so that there may be more classes."""
        return self.label_names == tuple(map(str, range(len(self.label_names))))

    def prepare(
        self,
        split: Split,
        dtype: Any = np.float32,
        preprocessing: Preprocessing | None = None,
        *,
        chosen: Any = None,
        threads: int | None = None,
    ) -> PreparedImages:
        """Return the images of a split as a network reads them, in [0, 1], made when indexed.

        The arguments are those of ``data.prepared.prepare``.
        """
        return prepare(
            split.images,
            dtype=dtype,
            preprocessing=preprocessing,
            scale=self.scale,
            chosen=chosen,
            threads=threads,
        )

    def as_floats(self, images: NDArray[np.uint8], dtype: DTypeLike = np.float32) -> np.ndarray:
        """Return images / scale in [0, 1], cast first and then divided, as frameworks do."""
        return as_floats(images, self.scale, dtype)


def as_floats(
    images: NDArray[np.uint8], scale: int = 255, dtype: DTypeLike = np.float32
) -> np.ndarray:
    """Return uint8 images of any shape as floats in [0, 1]."""
    return np.divide(images, scale, dtype=dtype)


def write_dataset(path: Path | str, dataset: Dataset) -> None:
    """Write ``dataset`` to one HDF5 file, whole or not at all; InputError if that fails.

    Images of one size only; ``data.packing.pack`` writes pictures of any size.
    """

    def fill(file: h5py.File) -> None:
        write_attributes(file, dataset)
        for name, split in dataset.splits():
            if len(split):
                group = file.create_group(name)
                write_array(group, "images", _as_array(dataset.name, split))
                if split.labels is not None:
                    write_array(group, "labels", split.labels)

    write_hdf5(path, FORMAT, VERSION, fill)


def _as_array(name: str, split: Split) -> NDArray[np.uint8]:
    """Return the images (N, C, H, W) of a split.  Raises InputError for pictures of any size."""
    images = split.images
    if isinstance(images, Pictures):
        if images.shape is None:
            raise InputError(
                f"data {name!r} are pictures of any size; pack them first, as by 'fcpts-ref data "
                "prepare folder PATH OUT.h5 --size 256'"
            )
        images = np.stack([images.read(i).transpose(2, 0, 1) for i in range(len(images))])
    if images.dtype != np.uint8:
        raise InputError(f"data {name!r} are {images.dtype}; only uint8 images are stored")
    return np.ascontiguousarray(images)


def write_attributes(file: h5py.File, dataset: Dataset) -> None:
    """Write everything but the splits into an open file."""
    write_text(file, "name", dataset.name)
    if dataset.label_names:
        names = np.frombuffer("\n".join(dataset.label_names).encode(), np.uint8)
        write_array(file, "label_names", names)
    file.attrs["scale"] = np.int64(dataset.scale)
    write_text(file, "provenance", dataset.provenance)
    write_text(file, "licence", dataset.licence)
    write_text(file, "augmentation", dataset.augmentation)


def read_dataset(path: Path | str) -> Dataset:
    """Read the data set that ``write_dataset`` or ``data.packed.pack`` wrote.

    The images of the latter are read when they are needed.

    Raises InputError, one line, for a file that is truncated, damaged, foreign, of a newer
    version, or whose arrays, labels or checksums are wrong.
    """
    with open_hdf5(path, FORMAT, VERSION) as file:
        return Dataset(
            name=read_text(file, "name"),
            train=_read_split(file, "train"),
            test=_read_split(file, "test"),
            label_names=_read_label_names(file),
            scale=read_integer(file, "scale"),
            provenance=read_text(file, "provenance"),
            licence=read_text(file, "licence"),
            augmentation=read_text(file, "augmentation")
            if "augmentation" in file.attrs
            else "crop",
        )


def _read_label_names(file: h5py.File) -> tuple[str, ...]:
    if "label_names" in file.attrs:  # version 1
        return tuple(read_text(file, "label_names").split("\n"))
    if "label_names" not in file:
        return ()
    names = read_array(file, "label_names", "|u1", dimensions=1).tobytes()
    return tuple(names.decode().split("\n"))


def _read_split(file: h5py.File, name: str) -> Split:
    if name not in file and read_integer(file, "version") > 1:
        return NO_IMAGES
    group = read_group(file, name)
    images: Any
    if "crc32" in group:
        images = read_packed(group)
    else:
        images = read_array(group, "images", "|u1", dimensions=4)
    if "labels" not in group and read_integer(file, "version") > 1:
        return Split(images)
    labels = read_array(group, "labels", "<i8", dimensions=1)
    return Split(images, labels.astype(np.int64, copy=False))
