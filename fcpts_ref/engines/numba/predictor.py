"""The fast engine for inference with fixed weights.

Convolutional networks are programs of one image, or of a group of images that the same kernels
compute (``plan.program``): an image's logits do not depend on the batch that it is in.
Networks with steps that need Python, such as the products of transformers, run in blocks of a
power of two images, each with a plan of its own that is made once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.engines.base import WeightCache
from fcpts_ref.engines.numba.jit.threads import using_threads
from fcpts_ref.engines.numba.plan.image_program import ImageProgram
from fcpts_ref.engines.numba.plan.program import run_images
from fcpts_ref.engines.numba.tokens.products import single_blas
from fcpts_ref.engines.numba.tuning import PREDICTOR_GROUPS, PREDICTOR_TRIALS
from fcpts_ref.engines.predict import batch_of
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import check_batch
from fcpts_ref.graphs.network import Network

Array = NDArray[Any]


class NumbaPredictor:
    """Logits of a classifier whose weights stay the same, on these threads (default all).

    Results do not depend on the threads, to the last bit.  Calls from several threads of Python
    take turns.  Images are computed by one thread each or by all threads together, and those of a
    larger batch in groups, which read a layer's weights once, wherever that is measured to be
    faster.
    compiled: whether one compiled call runs the whole network.
    """

    def __init__(self, network: Network, threads: int | None = None) -> None:
        self._network, self._cache, self._lock = network, WeightCache(), Lock()
        self._largest = 1 << batch_of(network.graph).bit_length() - 1
        self._blocks: dict[int, ImageProgram] = {}
        self._seconds: tuple[float, float] | None = None  # see ``_measure``
        self._faster: dict[int, bool] = {}  # groups by their size, once they have been measured
        with using_threads(threads) as self.threads, single_blas():
            copies = self.threads + (self.threads > 1)  # one for each thread, one that all share
            self._check_memory(copies, "threads")
            self._given, self._results = self._memory(copies)
            first = self._program(self._given[:1], self._results[:1])
            self.compiled = first.compiled
            self._programs = [first]
            if self.compiled:
                self._programs += [
                    self._program(self._given[i : i + 1], self._results[i : i + 1])
                    for i in range(1, copies)
                ]
                self._tables = np.stack([program.table for program in self._programs])

    def logits(self, images: Array) -> Array:
        """Return logits (N, classes) for images (N, C, H, W) in the network's dtype.

        Raises MemoryError if a kernel cannot allocate its work space.
        """
        images = np.ascontiguousarray(images)
        logits = np.empty((len(images), self._network.graph.classes), images.dtype)
        with self._lock, using_threads(self.threads) as threads, single_blas():
            if self.compiled:
                first = 0
                for size in self._group_sizes(len(images), threads):
                    group = slice(first, first + size)
                    self._run_block(images[group], logits[group], threads)
                    first += size
                if first < len(images):
                    shared = self._shared(len(images) - first, threads)
                    self._run_programs(images[first:], logits[first:], threads, shared)
            else:
                self._run_in_blocks(images, logits, threads)
        return logits

    def _run_programs(self, images: Array, logits: Array, threads: int, shared: int) -> None:
        flat, given = (x.reshape(len(x), -1) for x in (images, self._given))
        run_images(flat, self._tables, given, self._results, logits, threads, shared)

    def _group_sizes(self, images: int, threads: int) -> list[int]:
        """The groups of so many images; those that are left over are computed one by one."""
        sizes = []
        for size in reversed(PREDICTOR_GROUPS):
            if images >= size and self._is_faster(size, threads):
                sizes += [size] * (images // size)
                images %= size
        return sizes

    def _is_faster(self, size: int, threads: int) -> bool:
        """Whether groups of this size are faster than smaller ones, measured once."""
        if size not in self._faster:
            self._faster[size] = self._try_group(size, threads)
            if not self._faster[size]:
                self._blocks.pop(size, None)  # its memory
        return self._faster[size]

    def _try_group(self, size: int, threads: int) -> bool:
        smaller = [n for n in PREDICTOR_GROUPS if n < size and self._is_faster(n, threads)]
        try:
            block = self._block(size)
        except InputError:  # it needs more memory than is free
            return False
        if not block.computes_as_one:
            return False
        few, many = self._measure_groups(max(smaller, default=1), size, threads)
        return many < few

    def _measure_groups(self, few: int, many: int, threads: int) -> tuple[float, float]:
        """Least seconds an image in groups of these sizes; 1: by one thread each."""
        trials = [self._trial(size, threads) for size in (few, many)]
        least, most = _least_seconds(*(run for run, _ in trials))
        return least / trials[0][1], most / trials[1][1]

    def _trial(self, size: int, threads: int) -> tuple[Callable[[], None], int]:
        """A run on images in groups of this size, and their number."""
        images, logits = self._memory(threads if size == 1 else size)
        if size == 1:
            return partial(self._run_programs, images, logits, threads, 0), len(images)
        return partial(self._run_block, images, logits, threads), len(images)

    def _shared(self, images: int, threads: int) -> int:
        """How many of the images the threads should compute together."""
        last = images % threads
        if not last:
            return 0
        if self._seconds is None:
            self._seconds = self._measure(threads)
        alone, together = self._seconds
        return last if last * together < alone else 0

    def _measure(self, threads: int) -> tuple[float, float]:
        """Least seconds of one image, by one thread and by all of them together."""
        own = self._memory(1)
        alone, together = _least_seconds(
            lambda: self._run_programs(*own, threads, 0),
            lambda: self._run_programs(*own, threads, 1),
        )
        return alone, together

    def _run_in_blocks(self, images: Array, logits: Array, threads: int) -> None:
        first = 0
        while first < len(images):
            size = min(self._largest, 1 << (len(images) - first).bit_length() - 1)
            here = slice(first, first + size)
            self._run_block(images[here], logits[here], threads)
            first += size

    def _run_block(self, images: Array, logits: Array, threads: int) -> None:
        """Compute all images at once, on a plan for their number."""
        block = self._block(len(images))
        block.given[...] = images
        block.run(threads)
        logits[...] = block.logits

    def _block(self, size: int) -> ImageProgram:
        """The plan for so many images.  Raises InputError if it needs more memory than is free."""
        if size not in self._blocks:
            self._check_memory(size, "images at a time")
            self._blocks[size] = self._program(*self._memory(size))
        return self._blocks[size]

    def _memory(self, images: int) -> tuple[Array, Array]:
        """Arrays for images and their logits."""
        graph, dtype = self._network.graph, self._network.dtype
        return np.zeros((images, *graph.input_shape), dtype), np.zeros(
            (images, graph.classes), dtype
        )

    def _check_memory(self, images: int, fewer: str) -> None:
        """Raise InputError if plans for so many images need more memory than is free."""
        check_batch(
            self._network.graph, images, self._network.dtype.itemsize, keep=False, fewer=fewer
        )

    def _program(self, given: Array, logits: Array) -> ImageProgram:
        return ImageProgram(self._network, given, logits, self._cache)


def _least_seconds(*works: Callable[[], None]) -> list[float]:
    """Each work's least time.  They take turns, so that what disturbs one disturbs the others."""
    least = [float("inf")] * len(works)
    for _ in range(PREDICTOR_TRIALS):
        for i, work in enumerate(works):
            start = time.perf_counter()
            work()
            least[i] = min(least[i], time.perf_counter() - start)
    return least
