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
from fcpts_ref.errors import InputError, counted

VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Environment variables that the libraries read when they are loaded."""


LAYERS = ("default", "safe", "threadsafe", "forksafe", "tbb", "omp", "workqueue")


def check_numba_variables() -> None:
    """Raise InputError for environment variables with which Numba does not start."""
    threads = os.environ.get("NUMBA_NUM_THREADS", "1").strip()
    if not (threads.isascii() and threads.isdigit() and threads.strip("0")):
        raise InputError(
            f"NUMBA_NUM_THREADS is {threads[:80]!r}; expected a whole number above 0, or unset it"
        )
    layer = os.environ.get("NUMBA_THREADING_LAYER", "default").strip()
    if layer not in LAYERS:
        raise InputError(
            f"NUMBA_THREADING_LAYER is {layer[:80]!r}; expected one of {', '.join(LAYERS)}, or "
            "unset it"
        )


def blas_limit(threads: int | None) -> Callable[[], AbstractContextManager[Any]]:
    """Return a function whose context limits the threads of BLAS; None leaves them unchanged.

    The limit applies to the process: contexts in several Python threads affect each other.
    Raises InputError unless ``threads`` is None or a whole number above 0.
    """
    if threads is None:
        return nullcontext
    limits = whole_number(threads, "threads", 1)
    return partial(ThreadpoolController().limit, limits=limits, user_api="blas")


def limit_process(threads: int) -> None:
    """Limit the threads of BLAS and Numba in this process and those that it starts.

    For workers that share a machine's cores.  Call it first: Numba reads its number of threads when
    it is imported.
    Raises InputError unless ``threads`` is a whole number above 0, and RuntimeError if Numba has
    already been imported with more.
    """
    limit = whole_number(threads, "threads", 1)
    numba = sys.modules.get("numba")
    if numba is not None and int(numba.config.NUMBA_NUM_THREADS) > limit:
        raise RuntimeError(
            f"Numba was imported with {counted(numba.config.NUMBA_NUM_THREADS, 'thread')}; call "
            f"limit_process({limit}) before the first import of it"
        )
    os.environ |= dict.fromkeys(VARIABLES, str(limit))
    threadpool_limits(limit)
