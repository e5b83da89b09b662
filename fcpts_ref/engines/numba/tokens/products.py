"""Dense matrix products by BLAS, in blocks that threads share.

BLAS sums in an order of its own, which may depend on the number of its threads.  So it has one
while the engine runs, and the engine's threads take blocks whose sizes follow from the shapes
alone: results are the same, to the last bit, for any number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from fcpts_ref.engines.numba.tuning import PRODUCT_PARTS, PRODUCT_ROWS

Array = NDArray[Any]


class _Limit:
    """The limit of BLAS, which is the whole process's: set by the first engine that runs."""

    def __init__(self) -> None:
        self.lock, self.engines, self.limit = threading.Lock(), 0, ExitStack()

    @contextmanager
    def held(self) -> Iterator[None]:
        """One thread in BLAS, until no engine runs any more."""
        with self.lock:
            if self.engines == 0:
                self.limit.enter_context(_controller().limit(limits=1, user_api="blas"))
            self.engines += 1
        try:
            yield
        finally:
            with self.lock:
                self.engines -= 1
                if self.engines == 0:
                    self.limit.close()


single_blas = _Limit().held


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="fcpts-products")


def share(count: int, task: Callable[[int], Any]) -> None:
    """task(0), ... task(count - 1), shared among the engine's threads."""
    threads = min(numba.get_num_threads(), count)
    if threads == 1:
        for i in range(count):
            task(i)
    else:
        for _ in _pool(os.getpid(), threads).map(task, range(count)):
            pass


def product(a: Array, b: Array, y: Array) -> None:
    """y = a b; a: (M, K), b: (K, N), y: (M, N), views that BLAS reads as they are."""
    parts = max(1, min(PRODUCT_PARTS, len(y) // PRODUCT_ROWS))
    edges = [i * len(y) // parts for i in range(parts + 1)]

    def block(i: int) -> None:
        rows = slice(edges[i], edges[i + 1])
        np.matmul(a[rows], b, out=y[rows])

    share(parts, block)
