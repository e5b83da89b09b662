"""Threads of BLAS, and the limit of a whole process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from threadpoolctl import ThreadpoolController, threadpool_limits

from fcpts_ref.checks import whole_number

VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Read by the libraries when they are loaded."""


def blas_limit(threads: int | None) -> Callable[[], AbstractContextManager[Any]]:
    """A function whose with blocks let BLAS use so many threads; None leaves it as it is.

    The limit is the process's: blocks in several Python threads at a time see each other's.
    Raises InputError unless ``threads`` is None or a whole number above 0.
    """
    if threads is None:
        return nullcontext
    limits = whole_number(threads, "threads", 1)
    return partial(ThreadpoolController().limit, limits=limits, user_api="blas")


def limit_process(threads: int) -> None:
    """Limit this process and those that it starts to so many threads, in BLAS and in Numba.

    For workers that share a machine's cores.  Call it first thing: Numba takes its number when it
    is imported.
    Raises InputError unless ``threads`` is a whole number above 0, RuntimeError where Numba is
    imported already with more.
    """
    limit = whole_number(threads, "threads", 1)
    numba = sys.modules.get("numba")
    if numba is not None and int(numba.config.NUMBA_NUM_THREADS) > limit:
        raise RuntimeError(
            f"Numba was imported with {numba.config.NUMBA_NUM_THREADS} threads; call "
            f"limit_process({limit}) before the first import of it"
        )
    os.environ |= dict.fromkeys(VARIABLES, str(limit))
    threadpool_limits(limit)
