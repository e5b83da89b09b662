"""A data set of arrays by the names that .npz and HDF5 files of other programs give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.dataset import Dataset
from fcpts_ref.data.pictures import Pictures
from fcpts_ref.data.split import NO_IMAGES, Split
from fcpts_ref.errors import InputError

Array = NDArray[Any]

CHANNELS = (1, 3)
MAX_CLASSES = 1 << 20


def array_data(path: Path, arrays: Mapping[str, Any], provenance: str) -> Dataset:
    """Return the data set of arrays ``images``, ``labels``, ``test_images`` and ``test_labels``.

    Only ``images`` is needed.  Raises InputError, which names the file, for arrays that do not fit.
    """
    splits = [_split(path, arrays, prefix) for prefix in ("", "test_")]
    labels = [split.labels for split in splits if split.labels is not None]
    greatest = max((int(part.max(initial=0)) for part in labels), default=-1)
    if greatest >= MAX_CLASSES:
        raise InputError(f"{path}: label {greatest} is not below {MAX_CLASSES}")
    names = tuple(map(str, range(greatest + 1)))
    if "label_names" in arrays and labels:
        names = tuple(map(str, np.asarray(arrays["label_names"]).tolist()))
    try:
        return Dataset(
            name=path.stem,
            train=splits[0],
            test=splits[1],
            label_names=names,
            scale=255,
            provenance=provenance,
            licence="not stated",
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _split(path: Path, arrays: Mapping[str, Any], prefix: str) -> Split:
    if f"{prefix}images" not in arrays:
        return NO_IMAGES
    images = _images(path, arrays[f"{prefix}images"], f"{prefix}images")
    labels = arrays.get(f"{prefix}labels")
    if labels is None:
        return Split(images)
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InputError(
            f"{path}: {prefix}labels are {labels.dtype} {labels.shape}; expected whole numbers (N,)"
        )
    return Split(images, labels.astype(np.int64))


def _images(path: Path, images: Any, name: str) -> Any:
    """Return the images as (N, C, H, W).  Raises InputError for other shapes and dtypes."""
    if isinstance(images, Pictures):
        return images
    try:
        last = channels_last(images.shape, images.dtype, name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return images.transpose(0, 3, 1, 2) if last else images


def channels_last(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> bool:
    """Return whether images of this shape are (N, H, W, C), not (N, C, H, W).

    Raises InputError for arrays that are neither, and for another dtype than uint8 and floats.
    """
    fits = dtype == np.uint8 or dtype.kind == "f"
    if not fits or len(shape) != 4 or 0 in shape:
        raise InputError(
            f"{name} are {dtype} {shape}; expected uint8 from 0 to 255, or floats in [0, 1], of "
            "shape (N, C, H, W) or (N, H, W, C)"
        )
    return shape[1] not in CHANNELS and shape[3] in CHANNELS
