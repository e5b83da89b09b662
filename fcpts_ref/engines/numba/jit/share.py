"""Calls that the engine's threads share, of functions that release Python's lock.

For work that kernels cannot share by ``for_each``: products by BLAS, and sweeps over pieces of
arrays whose sizes follow from the arrays alone, so that results do not depend on the threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
from numpy.typing import NDArray

Array = NDArray[Any]


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="fcpts-share")


def share(count: int, task: Callable[[int], Any], threads: int | None = None) -> list[Any]:
    """Return [task(0), ... task(count - 1)]; raise what a call raises.

    threads: default those of Numba.
    """
    if count == 1:
        return [task(0)]
    threads = min(threads or numba.get_num_threads(), count)
    if threads <= 1:
        return [task(i) for i in range(count)]
    return list(_pool(os.getpid(), threads).map(task, range(count)))


def sweep(
    kernel: Callable[..., Any],
    arrays: tuple[Array, ...],
    constants: tuple[Any, ...],
    *,
    piece: int,
    threads: int | None = None,
) -> list[Any]:
    """Return [kernel(*pieces of the flat arrays, *constants), ...], a piece at a time.

    arrays: of one size; piece: that many elements, the last piece may be longer.
    """
    if arrays[0].size < 2 * piece:
        return [kernel(*arrays, *constants)]
    parts = pieces(arrays[0].size, piece)

    def task(i: int) -> Any:
        return kernel(*(array[parts[i]] for array in arrays), *constants)

    return share(len(parts), task, threads)


def pieces(size: int, length: int) -> list[slice]:
    """Divide a flat array of this size into pieces of this length; the last may be longer.

    At least one piece, so that an empty array is one too.
    """
    edges = [*range(0, max(1, size // length) * length, length), size]
    return [slice(*ends) for ends in pairwise(edges)]
