"""A split of a data set: images in memory or read when needed, their labels and objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.pictures import Files, Pictures
from fcpts_ref.detection.boxes import Objects
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import check_range


class Annotations(Protocol):
    """The objects of N images, read one image at a time."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that are labelled from 1."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> Objects:
        """Return an image's objects, in shares of its width and height.

        Raises InputError, which names the file, if they cannot be read.
        """


@dataclass(frozen=True)
class Split:
    """Images and, if known, the class of each.

    images: (N, C, H, W), uint8 from 0 to ``Dataset.scale`` or floats in [0, 1]; or pictures that
        are read when needed.
    labels: (N,) from 0 to K - 1, None if unknown.
    objects: the annotated objects of each image, None if unknown.
    """

    images: Any  # NDArray or Pictures
    labels: NDArray[np.int64] | None = None
    objects: Annotations | None = None

    def __len__(self) -> int:
        return len(self.images)


NO_IMAGES = Split(Files(()))
"""An absent split."""


def check_split(what: str, split: Split, classes: int, scale: int) -> None:
    """Raise InputError unless images and labels have their shapes, dtypes and ranges."""
    images, labels = split.images, split.labels
    if not isinstance(images, Pictures):
        _check_array(what, images, scale)
    if labels is None:
        return
    if labels.dtype != np.int64 or labels.shape != (len(images),):
        raise InputError(
            f"{what}: labels are {labels.dtype} {labels.shape}, expected int64 ({len(images)},)"
        )
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        raise InputError(
            f"{what}: labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
        )


def _check_array(what: str, images: NDArray[Any], scale: int) -> None:
    """Raise InputError unless these are uint8 up to ``scale``, or floats in [0, 1].

    Images in a mapped file are checked when they are read.
    """
    if images.dtype.kind not in "uf" or images.ndim != 4 or 0 in images.shape:
        raise InputError(
            f"{what}: images are {images.dtype} {images.shape}, expected uint8 or floats "
            "(N, C, H, W)"
        )
    if images.dtype.kind == "u" and images.dtype != np.uint8:
        raise InputError(f"{what}: images are {images.dtype}, expected uint8 or floats in [0, 1]")
    if isinstance(images, np.memmap):
        images = images[:1]
    if images.dtype != np.uint8:
        try:
            check_range(images)
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
    elif images.max() > scale:
        raise InputError(f"{what}: pixel value {images.max()} is above the scale {scale}")


def shape_of(split: Split) -> tuple[int, int, int] | None:
    """Return (C, H, W), or None for pictures of any size."""
    if isinstance(split.images, Pictures):
        return split.images.shape
    C, H, W = split.images.shape[1:]
    return C, H, W
