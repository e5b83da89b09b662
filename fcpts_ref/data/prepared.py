"""Images as a network reads them: floats in [0, 1], made batch by batch when they are indexed."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.data.augmentation import of_pictures, picture_view, view
from fcpts_ref.data.pictures import CorruptPicture, Pictures
from fcpts_ref.data.preprocessing import STRETCHED, Preprocessing
from fcpts_ref.data.resizing import centre_view, stretched_view
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.network import check_range

Array = NDArray[Any]

AHEAD = 2
"""Batches that are decoded in the background while another one is used."""
CHUNK = 64
"""Images that are read at once where all are visited."""


@dataclass(frozen=True)
class PreparedImages:
    """A sequence of images (n, C, H, W) in [0, 1]; ``images[i:j]`` and ``images[array]`` read some.

    source: an array (N, C, H, W), uint8 or floats in [0, 1], or pictures of any size.
    chosen: (n,) indices into it.  scale: the uint8 value that means 1.
    preprocessing: None where the source has the network's size.
    views: one for each of the n images, as ``augmentation.view`` takes them; None for the centre
    of the picture.
    threads: that decode, None for all cores.  The values do not depend on it.
    """

    source: Array | Pictures
    chosen: NDArray[np.int64]
    dtype: np.dtype[Any]
    preprocessing: Preprocessing | None = None
    scale: int = 255
    views: Array | None = None
    threads: int | None = None

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, C, H, W)."""
        if self.preprocessing is not None:
            C, H, W = self.preprocessing.shape
            C = C if isinstance(self.source, Pictures) else self.source.shape[1]
        else:
            assert self.source.shape is not None  # ``prepare`` has checked it
            C, H, W = self.source.shape[-3:]
        return len(self), C, H, W

    def __getitem__(self, index: Any) -> Array:
        """Return some images (m, C, H, W).  Raises InputError for what cannot be read."""
        return next(self.batches([index]))

    def batches(self, indices: Iterable[Any]) -> Iterator[Array]:
        """Yield the images of each index, in order; the next ones are read in the background."""
        if self._is_plain:
            yield from (self._plain(index) for index in indices)
            return
        with ThreadPoolExecutor(self.threads or os.cpu_count()) as pool:
            waiting: deque[tuple[Array, Any, list[Future[None]]]] = deque()
            try:
                for index in indices:
                    waiting.append(self._begin(index, pool))
                    if len(waiting) > AHEAD:
                        yield self._end(*waiting.popleft())
                while waiting:
                    yield self._end(*waiting.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def astype(self, dtype: Any, copy: bool = True) -> PreparedImages:
        """Return the sequence of images of another floating dtype."""
        return replace(self, dtype=np.dtype(dtype))

    def seen(self, views: Array) -> PreparedImages:
        """Return the augmented sequence; views: one for each image."""
        return replace(self, views=views)

    def subset(self, index: Array) -> PreparedImages:
        """Return the images of these indices as a sequence."""
        views = None if self.views is None else self.views[index]
        return replace(self, chosen=self.chosen[index], views=views)

    def sha256(self) -> str:
        """Return the SHA-256 of the images: of their floats, or of the files that hold them."""
        if isinstance(self.source, Pictures):
            named = f"{self.source.sha256(self.chosen)} {self.preprocessing!r}"
            return hashlib.sha256(named.encode()).hexdigest()
        digest = hashlib.sha256()
        for batch in self.chunks():
            stored = np.ascontiguousarray(batch, dtype=batch.dtype.newbyteorder("<"))
            digest.update(stored.data)
        return digest.hexdigest()

    def chunks(self) -> Iterator[Array]:
        """Yield all images, some at a time."""
        return self.batches(slice(start, start + CHUNK) for start in range(0, len(self), CHUNK))

    # One batch

    @property
    def _is_plain(self) -> bool:
        """Whether an image is the source's own array, at most shifted or mirrored."""
        cut = self.views is not None and of_pictures(self.views)
        return isinstance(self.source, np.ndarray) and self.preprocessing is None and not cut

    def _plain(self, index: Any) -> Array:
        assert isinstance(self.source, np.ndarray)
        batch = self._as_floats(self.source[self.chosen[index]])
        return batch if self.views is None else view(batch, self.views[index])

    def _begin(self, index: Any, pool: Executor) -> tuple[Array, Any, list[Future[None]]]:
        """Start reading the images of an index, each by one task that fills its place."""
        numbers = np.arange(len(self))[index]
        batch = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        return (
            batch,
            index,
            [pool.submit(self._fill, batch, place, number) for place, number in enumerate(numbers)],
        )

    def _end(self, batch: Array, index: Any, tasks: list[Future[None]]) -> Array:
        """Wait for a batch and return it; the first image that cannot be read raises its error."""
        for task in tasks:
            task.result()
        if self.views is None or of_pictures(self.views):
            return batch
        return view(batch, self.views[index])

    def _fill(self, batch: Array, place: int, number: int) -> None:
        picture = read_picture(self.source, int(self.chosen[number]))  # (H, W, C)
        C, H, W = self.shape[1:]
        filter = self.preprocessing.filter if self.preprocessing else "bilinear"
        if self.views is not None and of_pictures(self.views):
            picture = picture_view(picture, self.views[number], (H, W), filter)
        elif self.preprocessing is not None:
            if self.preprocessing.resize == STRETCHED:
                picture = stretched_view(picture, (H, W), filter)
            else:
                picture = centre_view(picture, self.preprocessing.resize, H, filter)
        if self.preprocessing is not None and self.preprocessing.order == "BGR":
            picture = picture[:, :, ::-1]
        if picture.shape != (H, W, C):
            raise InputError(f"image {number} is {picture.shape}; expected {(H, W, C)}")
        batch[place] = self._as_floats(picture.transpose(2, 0, 1))

    def _as_floats(self, images: Array) -> Array:
        if images.dtype == np.uint8:
            return np.divide(images, self.scale, dtype=self.dtype)
        check_range(images)
        return images.astype(self.dtype, copy=False)


def prepare(
    source: Array | Pictures,
    *,
    dtype: Any = np.float32,
    preprocessing: Preprocessing | None = None,
    scale: int = 255,
    chosen: Any = None,
    threads: int | None = None,
) -> PreparedImages:
    """Return the images as a network reads them; the arguments are those of ``PreparedImages``.

    chosen: None for all.  Raises InputError for pictures of several sizes without a preprocessing.
    """
    if preprocessing is None and source.shape is None:
        raise InputError("images of any size need a preprocessing; choose one with --preprocess")
    index = np.arange(len(source)) if chosen is None else np.asarray(chosen, np.int64)
    return PreparedImages(source, index, np.dtype(dtype), preprocessing, scale, None, threads)


def read_picture(source: Array | Pictures, index: int) -> Array:
    """Return one picture (H, W, C) of an array (N, C, H, W) or of pictures."""
    if isinstance(source, np.ndarray):
        return np.asarray(source[index]).transpose(1, 2, 0)
    return source.read(index)


def batches_of(images: Any, indices: Iterable[Any]) -> Iterator[Array]:
    """Yield ``images[index]`` for each index, read in the background if they are not in memory."""
    if isinstance(images, PreparedImages):
        yield from images.batches(indices)
    else:
        yield from (images[index] for index in indices)


def seen_images(images: Any, views: Array) -> PreparedImages:
    """Return views of images, an array (n, C, H, W) in [0, 1] or prepared, as a sequence."""
    return as_prepared(images).seen(views)


def as_prepared(images: Any) -> PreparedImages:
    """Return an array of images (n, C, H, W) in [0, 1] as a sequence; a sequence as it is."""
    return images if isinstance(images, PreparedImages) else prepare(images, dtype=images.dtype)


def readable(
    images: PreparedImages, note: Callable[[str], None] = lambda message: None
) -> PreparedImages:
    """Return the images without those that cannot be decoded; ``note`` receives a line for each.

    Every picture is decoded once to find out.  Raises InputError if none is left.
    """
    source = images.source
    if not isinstance(source, Pictures):
        return images

    def problem(index: int) -> str:
        try:
            source.read(index)
        except CorruptPicture as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(images.threads or os.cpu_count()) as pool:
        problems = list(pool.map(problem, images.chosen.tolist()))
    for text in filter(None, problems):
        note(f"left out: {text}")
    if all(problems):
        raise InputError("none of the pictures can be decoded; give others")
    return images.subset(np.flatnonzero([not text for text in problems]))
