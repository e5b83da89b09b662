"""Data sets as NumPy writes them: ``np.savez`` with names, ``np.save`` for images alone.

Arrays: ``images`` and perhaps ``labels`` for training, ``test_images`` and ``test_labels``.  Images
are (N, C, H, W) or (N, H, W, C) with 1 or 3 channels, uint8 from 0 to 255 or floats in [0, 1];
labels are whole numbers (N,); ``label_names`` (K,) are optional text.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fcpts_ref.data.arrays import array_data
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import check_regular_file, describe_failure
from fcpts_ref.storage.hdf5 import array_sha256
from fcpts_ref.storage.npz_file import read_npz_arrays

IMAGES = "images"
NAMES = (IMAGES, "labels", "test_images", "test_labels", "label_names")


def read_npz(path: Path) -> Dataset:
    """Return the data set of an .npz file.

    Raises InputError, one line, for a file that is absent, is not a regular file, lacks an array,
    holds one of the wrong shape or dtype, or unpacks to far more than its own size.
    """
    arrays = read_npz_arrays(path, only=NAMES, required=IMAGES)
    checksum = array_sha256(arrays[IMAGES])
    return array_data(path, arrays, f"{path.name}, images SHA-256 {checksum}")


def read_npy(path: Path) -> Dataset:
    """Return the images of an .npy file, without labels, read when they are needed.

    Raises InputError, one line, for a file that is absent, is not one array of images, or claims
    more images than it holds.
    """
    check_regular_file(path)
    try:
        images = np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    except Exception as error:  # NumPy's parser of headers has many
        raise InputError(
            f"{path} is not a readable .npy file ({type(error).__name__}); write it with np.save"
        ) from error
    return array_data(path, {IMAGES: images}, path.name)
