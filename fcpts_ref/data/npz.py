"""Data sets as NumPy writes them: ``np.savez`` with names, ``np.save`` for images alone.

Arrays: ``images`` and perhaps ``labels`` for training, ``test_images`` and ``test_labels``.  Images
are (N, C, H, W) or (N, H, W, C) with 1 or 3 channels, uint8 from 0 to 255 or floats in [0, 1];
labels are whole numbers (N,); ``label_names`` (K,) are optional text.
"""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.arrays import array_data
from fcpts_ref.data.dataset import Dataset
from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import check_regular_file, describe_failure
from fcpts_ref.storage.hdf5 import array_sha256

Array = NDArray[Any]

IMAGES = "images"
NAMES = (IMAGES, "labels", "test_images", "test_labels", "label_names")
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
MAX_RATIO = 64
"""How many times the file's size its arrays may take: beyond it a small file fills the memory."""


def read_npz(path: Path) -> Dataset:
    """Return the data set of an .npz file.

    Raises InputError, one line, for a file that is absent, is not a regular file, lacks an array,
    holds one of the wrong shape or dtype, or unpacks to far more than its own size.
    """
    arrays = _read(path)
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


def _read(path: Path) -> dict[str, Array]:
    check_regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(_checked_size(path, archive, e) for e in archive.infolist())
        if unpacked > MAX_RATIO * os.path.getsize(path):
            raise InputError(
                f"{path} unpacks to {unpacked:,} bytes, over {MAX_RATIO} times its size; write it "
                "with np.savez, uncompressed"
            )
        with np.load(path, allow_pickle=False) as stored:
            if IMAGES not in stored:
                raise InputError(
                    f"{path} has no array {IMAGES!r}; expected it and perhaps "
                    f"{', '.join(NAMES[1:])}"
                )
            return {name: stored[name] for name in NAMES if name in stored}
    except (InputError, MemoryError):
        raise
    except OSError as error:
        raise InputError(describe_failure(f"cannot read {path}", error)) from error
    except Exception as error:  # zipfile, zlib and NumPy's parser of headers have many
        raise InputError(
            f"{path} is not a readable .npz file ({type(error).__name__}); write it with np.savez"
        ) from error


def _checked_size(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """The unpacked size of an entry, whose array must not claim more than that."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{path} is packed in a way NumPy does not use; write it with np.savez")
    if entry.filename.removesuffix(".npy") in NAMES:
        with archive.open(entry) as file:
            version = np.lib.format.read_magic(file)
            if version not in HEADERS:
                raise ValueError("unknown version of the .npy format")
            shape, _, dtype = HEADERS[version](file)
        if math.prod(shape) * dtype.itemsize > entry.file_size:
            raise InputError(
                f"{path}: {entry.filename} claims the shape {str(shape)[:80]} and holds only "
                f"{entry.file_size:,} bytes; write it again with np.savez"
            )
    return entry.file_size
