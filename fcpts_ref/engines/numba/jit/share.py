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


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="fcpts-share")


def share(count: int, task: Callable[[int], Any]) -> list[Any]:
    """Return [task(0), ... task(count - 1)]; raise what a call raises."""
    threads = min(numba.get_num_threads(), count)
    if threads <= 1:
        return [task(i) for i in range(count)]
    return list(_pool(os.getpid(), threads).map(task, range(count)))


def pieces(size: int, length: int) -> list[slice]:
    """Divide a flat array of this size into pieces of this length; the last may be longer.

    At least one piece, so that an empty array is one too.
    """
    edges = [*range(0, max(1, size // length) * length, length), size]
    return [slice(*ends) for ends in pairwise(edges)]
