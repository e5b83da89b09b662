"""Pictures packed into one HDF5 file at one size, from which single images are read.

The pixels lie one after another in the file, uncompressed; a CRC-32 of each image shows damage when
the image is read.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.storage.files import describe_failure
from fcpts_ref.storage.hdf5 import find_contiguous, read_array

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Packed:
    """Images of one shape (C, H, W), uint8, from the byte ``offset`` of a file on.

    crc32: (N,), of each image.
    """

    path: Path
    offset: int
    shape: tuple[int, int, int]
    crc32: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.crc32)

    def read(self, index: int) -> Array:
        """Return an image (H, W, C) uint8.  Raises InputError if it does not match its CRC-32."""
        size = math.prod(self.shape)
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset + size * range(len(self))[index])
                content = file.read(size)
        except OSError as error:
            raise InputError(describe_failure(f"cannot read {self.path}", error)) from error
        if len(content) != size or zlib.crc32(content) != self.crc32[index]:
            raise InputError(f"{self.path}: image {index} is damaged: pack the pictures again")
        return np.frombuffer(content, np.uint8).reshape(self.shape).transpose(1, 2, 0)

    def sha256(self, chosen: Sequence[int] | Array) -> str:
        """Return the SHA-256 of the CRC-32 of the chosen images."""
        return hashlib.sha256(self.crc32[np.asarray(chosen)].tobytes()).hexdigest()


def read_packed(group: h5py.Group) -> Packed:
    """Return the images of a split's group.  Raises InputError if the file does not hold them."""
    images, offset = find_contiguous(group, "images")
    crc32 = read_array(group, "crc32", "<u4", dimensions=1).astype(np.uint32)
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise InputError(f"images are {images.dtype} {images.shape}, expected uint8 (N, C, H, W)")
    N, *shape = images.shape
    if not 0 < len(crc32) <= N:  # the rest was left out as corrupt
        raise InputError(
            f"{counted(len(crc32), 'checksum')} for {counted(N, 'image')}: pack the pictures again"
        )
    return Packed(Path(group.file.filename), offset, tuple(shape), crc32)


def fill_pixels(
    path: Path, offset: int, images: Iterator[Array], on_image: Callable[[int], None]
) -> NDArray[np.uint32]:
    """Write images (C, H, W) uint8 into a file from ``offset`` on; return the CRC-32 of each."""
    checksums = []
    with open(path, "r+b") as file:
        file.seek(offset)
        for image in images:
            content = np.ascontiguousarray(image)
            file.write(content.data)
            checksums.append(zlib.crc32(content.data))
            on_image(1)
    return np.array(checksums, np.uint32)
