"""Packing a data set of pictures into one HDF5 file of one size, once."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.dataset import FORMAT, VERSION, Dataset, write_attributes
from fcpts_ref.data.packed import fill_pixels
from fcpts_ref.data.pictures import CorruptPicture, Files
from fcpts_ref.data.resizing import centre_view
from fcpts_ref.data.split import Split
from fcpts_ref.errors import InputError
from fcpts_ref.storage.files import write_atomically
from fcpts_ref.storage.hdf5 import write_array, write_text

Array = NDArray[Any]
AHEAD = 64
"""Pictures that are decoded in the background while one is written."""


@dataclass(frozen=True)
class Report:
    """The number of images written by split, and the messages about the pictures left out."""

    images: dict[str, int]
    skipped: tuple[str, ...]


def pack(
    path: Path | str,
    dataset: Dataset,
    size: int,
    *,
    filter: str = "bilinear",
    skip_corrupt: bool = False,
    threads: int | None = None,
    on_image: Callable[[int], None] = lambda more: None,
) -> Report:
    """Write every picture, resized and cropped to a square, to one file, whole or not at all.

    size: pixels of a side: the shorter side is resized to it, and the square at the centre is kept.
    skip_corrupt: leave pictures out that cannot be decoded.  threads: that decode, None for all
    cores. The file is the same for any number of threads.  on_image: called for every picture.
    Raises InputError for a corrupt picture, and if the file cannot be written.
    """
    path, skipped = Path(path), []
    counts: dict[str, int] = {}

    def write(temporary: Path) -> None:
        for name, split in dataset.splits():
            if not len(split):
                continue
            kept: list[int] = []

            if not isinstance(split.images, Files):
                raise InputError(f"data {dataset.name!r} are arrays already; only files are packed")

            def images(files: Files = split.images, kept: list[int] = kept) -> Iterator[Array]:
                for index, image in enumerate(_resized(files, size, filter, threads)):
                    if isinstance(image, CorruptPicture):
                        if not skip_corrupt:
                            raise InputError(
                                f"{image}; remove it, or leave such pictures out by --skip-corrupt"
                            ) from image
                        skipped.append(str(image))
                        on_image(1)
                        continue
                    kept.append(index)
                    yield image

            offset = _make_room(temporary, dataset, name, len(split), size)
            checksums = fill_pixels(temporary, offset, images(), on_image)
            _complete(temporary, name, split, kept, checksums)
            counts[name] = len(kept)

    _check_space(path, sum(len(split) for _, split in dataset.splits()) * 3 * size**2)
    write_atomically(path, write)
    return Report(counts, tuple(skipped))


def _resized(
    pictures: Files, size: int, filter: str, threads: int | None
) -> Iterator[Array | CorruptPicture]:
    """Yield every picture (C, size, size) in order, or the error that it raised."""

    def one(index: int) -> Array | CorruptPicture:
        try:
            picture = pictures.read(index)
        except CorruptPicture as error:
            return error
        return centre_view(picture, size, size, filter).transpose(2, 0, 1)

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        waiting: deque[Future[Array | CorruptPicture]] = deque()
        try:
            for index in range(len(pictures)):
                waiting.append(pool.submit(one, index))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _make_room(path: Path, dataset: Dataset, name: str, N: int, size: int) -> int:
    """Allocate a split's images in the file, which is made if absent; return where they begin.

    The pixels are written by ordinary file operations, because the HDF5 library may abort the whole
    process when the disk is full.
    """
    exists = path.exists()
    with h5py.File(path, "r+" if exists else "w", libver="v110") as file:
        if not exists:
            write_text(file, "format", FORMAT)
            file.attrs["version"] = np.int64(VERSION)
            write_attributes(file, dataset)
        group = file.create_group(name)
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((N, 3, size, size))
        h5py.h5d.create(group.id, b"images", h5py.h5t.STD_U8LE, space, properties)
        return int(group["images"].id.get_offset())


def _complete(
    path: Path, name: str, split: Split, kept: list[int], checksums: NDArray[np.uint32]
) -> None:
    """Add labels and checksums of the images that were written."""
    if not kept:
        raise InputError(f"no picture of the {name} split can be decoded; nothing was written")
    with h5py.File(path, "r+", libver="v110") as file:
        group = file[name]
        write_array(group, "crc32", checksums)
        if split.labels is not None:
            write_array(group, "labels", split.labels[kept])


def _check_space(path: Path, size: int) -> None:
    """Raise InputError if the disk has less space than the file needs."""
    folder = path.parent
    if folder.is_dir() and shutil.disk_usage(folder).free < size:
        raise InputError(
            f"{path} will take {size / 2**30:.1f} GiB, and its disk has less space: free some, or "
            "choose another folder or a smaller --size"
        )
