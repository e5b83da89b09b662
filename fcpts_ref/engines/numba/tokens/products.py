"""Dense matrix products by BLAS, in blocks that threads share.

BLAS sums in an order of its own, which may depend on the number of its threads.  So it has one
while the engine runs, and the engine's threads take blocks whose sizes follow from the shapes
alone: results are the same, to the last bit, for any number of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from fcpts_ref.engines.numba.jit.share import share
from fcpts_ref.engines.numba.tuning import PRODUCT_PARTS, PRODUCT_SIDE

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


def product(a: Array, b: Array, y: Array) -> None:
    """y = a b; a: (M, K), b: (K, N), y: (M, N), views that BLAS reads as they are.

    The longer side of y is divided.
    """
    by_rows = len(y) >= y.shape[1]
    side = max(y.shape)
    parts = 1 if side < PRODUCT_SIDE else min(PRODUCT_PARTS, max(2, side // (4 * PRODUCT_SIDE)))

    def block(i: int) -> None:
        some = slice(i * side // parts, (i + 1) * side // parts)
        if by_rows:
            np.matmul(a[some], b, out=y[some])
        else:
            np.matmul(a, b[:, some], out=y[:, some])

    share(parts, block)
