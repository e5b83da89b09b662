"""HDF5 files of other programs, whose images are read when they are needed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.arrays import array_data, channels_last
from fcpts_ref.data.dataset import Dataset, read_dataset
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import check_range
from fcpts_ref.storage.hdf5 import check_chunks, find_array, open_checked, read_array

Array = NDArray[Any]

MAX_CHUNK = 64 << 20  # bytes; a chunk is unpacked as a whole


def read_hdf5(path: Path) -> Dataset:
    """Return the data set of an HDF5 file of this program or of another one.

    Other programs' files hold arrays called as in .npz files (``data.npz``), contiguous or in
    chunks.
    Raises InputError, one line, for a file without images and for arrays that do not fit.
    """
    with open_checked(path) as file:
        if "format" in file.attrs or "images" not in file:
            return read_dataset(path)
        names = [name for name in ("images", "test_images") if name in file]
        arrays: dict[str, Any] = {name: _stored(file, path, name) for name in names}
        for name in ("labels", "test_labels"):
            if name in file:
                found, most = find_array(file, name), 8 * max(map(len, arrays.values()))
                arrays[name] = read_array(file, name, found.dtype.str, 1, max_unpacked=most)
    return array_data(path, arrays, path.name)


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images of an open HDF5 file, (N, C, H, W) or with the channels last."""

    array: h5py.Dataset
    last: bool

    def __len__(self) -> int:
        return len(self.array)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        a, b, c = self.array.shape[1:]
        return (c, a, b) if self.last else (a, b, c)

    def read(self, index: int) -> Array:
        """Return an image (H, W, C).  Raises InputError for damage and floats outside [0, 1]."""
        try:
            image = np.asarray(self.array[index])
        except (OSError, RuntimeError) as error:
            name = self.array.file.filename
            raise InputError(f"{name}: image {index} is damaged ({error})") from error
        if image.dtype != np.uint8:
            check_range(image)
        return image if self.last else image.transpose(1, 2, 0)

    def sha256(self, chosen: Sequence[int] | Array) -> str:
        """Return the SHA-256 of the chosen images, in their order."""
        digest = hashlib.sha256()
        for index in chosen:
            digest.update(np.ascontiguousarray(self.read(int(index))).data)
        return digest.hexdigest()


def _stored(file: h5py.File, path: Path, name: str) -> StoredImages:
    """Return the images of that name.  Raises InputError for an array that is stored unusually."""
    found = find_array(file, name)
    if found.is_virtual or found.external:
        raise InputError(f"{name} should be stored inside the file")
    if found.chunks is not None:
        check_chunks(found)
        if math.prod(found.chunks) * found.dtype.itemsize > MAX_CHUNK:
            raise InputError(f"{name} has chunks of over {MAX_CHUNK >> 20} MiB; use smaller ones")
    last = channels_last(found.shape, found.dtype, name)
    images = StoredImages(h5py.File(path, "r", rdcc_nbytes=MAX_CHUNK)[name], last)
    images.read(0)
    return images
