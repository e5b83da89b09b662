"""Threads of the fast engine.

Results do not depend on their number: a kernel gives whole output planes to threads, or sums
in chunks whose size follows from the shapes alone and adds the chunks in order.

What shares the work sets limits.  GNU OpenMP ends a process that was forked after it had been
used: there a forked process keeps to one thread, which needs no OpenMP.  Numba's workqueue ends
a process in which two Python threads compute at a time: there they take turns.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
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


class _Process:
    """What is known of this process: a forked one does not have the threads of its parent."""

    def __init__(self) -> None:
        self.forked_after_openmp = False
        self.turn = threading.RLock()

    def note_fork(self) -> None:
        """Called in the new process, right after the fork."""
        self.forked_after_openmp |= sharing_library() == "omp"
        self.turn = threading.RLock()


_PROCESS = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.note_fork)


def sharing_library() -> str:
    """What shares the work of kernels: "tbb", "omp" or "workqueue"; "" before the first use."""
    with suppress(ValueError):
        return str(numba.threading_layer())
    return ""


def available_threads() -> int:
    """The most threads that ``set_threads`` takes (NUMBA_NUM_THREADS, or all cores)."""
    return int(numba.config.NUMBA_NUM_THREADS)


def set_threads(threads: int | None) -> int:
    """Use this many threads from now on, all for None; returns the number.

    A process that was forked after OpenMP had been used has one thread, whatever is asked for.
    Raises InputError unless 1 <= threads <= ``available_threads()``.
    """
    most = available_threads()
    count = most if threads is None else threads
    if not 1 <= count <= most:
        raise InputError(f"threads is {threads}; expected 1 to {most} (NUMBA_NUM_THREADS)")
    if _PROCESS.forked_after_openmp:
        count = 1
    numba.set_num_threads(count)
    return count


@contextmanager
def using_threads(threads: int | None) -> Iterator[int]:
    """``set_threads`` for the length of a with block, which others wait for under workqueue."""
    with _PROCESS.turn if sharing_library() == "workqueue" else nullcontext():
        before = numba.get_num_threads()
        try:
            yield set_threads(threads)
        finally:
            numba.set_num_threads(1 if _PROCESS.forked_after_openmp else before)
