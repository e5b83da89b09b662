"""Threads of the fast engine.

Results do not depend on their number: a kernel gives whole output planes to threads, or sums
in chunks whose size follows from the shapes alone and adds the chunks in order.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import numba

from fcpts_ref.errors import InputError

TBB = "libtbb.so.12"


def find_tbb() -> Path | None:
    """The library of the package ``tbb`` (extra ``tbb``), if it is installed."""
    with suppress(PackageNotFoundError):
        for file in files("tbb") or ():
            if file.name == TBB:
                return Path(str(file.locate()))
    return None


def prefer_tbb() -> None:
    """Have Numba share work by oneTBB where that is installed.

    Without it Numba takes OpenMP, and every kernel ends with all threads waiting for the one that
    another program keeps from its core; TBB's other threads take over its part.  pip puts the
    library where the loader does not look, but one that is loaded already is found by its name.
    """
    library = find_tbb()
    if library is not None:
        with suppress(OSError):
            ctypes.CDLL(str(library))


def available_threads() -> int:
    """The most threads that ``set_threads`` takes (NUMBA_NUM_THREADS, or all cores)."""
    return int(numba.config.NUMBA_NUM_THREADS)


def set_threads(threads: int | None) -> int:
    """Use this many threads from now on, all for None; returns the number.

    Raises InputError unless 1 <= threads <= ``available_threads()``.
    """
    most = available_threads()
    count = most if threads is None else threads
    if not 1 <= count <= most:
        raise InputError(f"threads is {threads}; expected 1 to {most} (NUMBA_NUM_THREADS)")
    numba.set_num_threads(count)
    return count


@contextmanager
def using_threads(threads: int | None) -> Iterator[int]:
    """``set_threads`` for the length of a with block."""
    before = numba.get_num_threads()
    try:
        yield set_threads(threads)
    finally:
        numba.set_num_threads(before)
