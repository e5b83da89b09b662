"""Programs: captured loops of a whole network, run one after the other by one compiled call.

Threads stay together from loop to loop.  They claim their work by atomic counters, and wait only
for work that a running thread has claimed: a thread that runs alone, for whatever reason, does all
of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fcpts_ref.engines.numba.jit.capture import Loop
from fcpts_ref.engines.numba.jit.compilation import compiled, compiled_part
from fcpts_ref.engines.numba.jit.for_each import call_passes, for_each
from fcpts_ref.engines.numba.simd.atomics import fetch_add, load_acquire, pause, yield_thread
from fcpts_ref.engines.numba.tuning import CLAIMS, PAUSES

Array = NDArray[Any]
DATA = 2  # column of a table
ALIGNMENT = 64  # bytes: of the data of every loop


class Program:
    """The loops of one network, with their arguments in memory of its own.

    table (S, 3): passes, address of the function and address of the arguments of every loop.
    """

    def __init__(self, loops: Sequence[Loop]) -> None:
        sizes = [-(-len(loop.data) // ALIGNMENT) * ALIGNMENT for loop in loops]
        ends = np.cumsum([0, *sizes])
        self._block = np.zeros(int(ends[-1]) + ALIGNMENT, np.uint8)
        skew = -self._block.ctypes.data % ALIGNMENT
        self.table = np.zeros((len(loops), 3), np.int64)
        for row, loop, start in zip(self.table, loops, ends[:-1] + skew, strict=True):
            self._block[start : start + len(loop.data)] = np.frombuffer(loop.data, np.uint8)
            row[:] = loop.passes, loop.address, self._block.ctypes.data + start


def run_together(program: Program, threads: int) -> None:
    """Run a program whose loops the threads share.  Raises MemoryError if a loop lacked memory."""
    table = program.table
    counters = np.zeros(2 * len(table), np.int64)
    check_error(share_loops(table, counters, threads))


def run_images(
    images: Array,
    programs: Array,
    given: Array,
    results: Array,
    outputs: Array,
    threads: int,
    shared: int,
) -> None:
    """outputs (N, K) = the results of programs of one image for images (N, F).

    Each thread takes whole images, with a program of its own; of the last ``shared`` images all
    threads share the loops.
    programs (P, S, 3), given (P, F), results (P, K): tables, inputs and results of one program for
    each thread and, with several threads, of one more.
    Raises MemoryError if a loop lacked memory.
    """
    counters = np.zeros(1 + shared * 2 * (programs.shape[1] + 2), np.int64)
    whole = len(images) - shared
    threads = threads if shared else min(threads, whole)
    check_error(share_images(images, programs, given, results, outputs, counters, threads, whole))


def check_error(error: int) -> None:
    """Raise MemoryError for a loop's error: kernels raise no other."""
    if error:
        raise MemoryError("a kernel of the predictor could not allocate its work space")


@intrinsic
def error_of(typing: Any, data: Any) -> Any:
    """The code of the error that a loop has left in its arguments (``for_each``), or 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(32).as_pointer())
        code = builder.load(place)
        builder.store(ir.Constant(ir.IntType(32), 0), place)  # for the next run
        return code

    return types.int32(types.intp), generate


@compiled_part
def _error(program: Any) -> int:
    """Return the last error of the loops of a table, or 0."""
    found = 0
    for step in range(len(program)):
        error = error_of(program[step, DATA])
        if error != 0:
            found = int(error)
    return found


@compiled
def share_loops(program: Any, counters: Any, threads: int) -> int:
    """Run the loops of a table (S, 3); counters: 2 S zeros.  Returns a loop's error or 0."""
    for_each(threads, _take_loops, program, counters, threads)
    return int(_error(program))


@compiled_part
def _take_loops(thread: int, program: Any, counters: Any, threads: int) -> None:
    for step in range(len(program)):
        _share(counters, 2 * step, program[step], threads)


@compiled
def share_images(
    images: Any, programs: Any, given: Any, results: Any, outputs: Any, counters: Any, threads: int,
    whole: int,
) -> int:  # fmt: skip
    """See ``run_images``; counters: zeros.  Returns a loop's error or 0."""
    for_each(
        threads, _take_images, images, programs, given, results, outputs, counters, threads, whole
    )
    found = 0
    for program in programs:
        found = max(found, _error(program))
    return found


@compiled_part
def _take_images(
    thread: int, images: Any, programs: Any, given: Any, results: Any, outputs: Any, counters: Any,
    threads: int, whole: int,
) -> None:  # fmt: skip
    """The share of one thread: of the first ``whole`` images, and of the loops of the others."""
    steps = programs.shape[1]
    n = fetch_add(counters, 0, 1)
    while n < whole:
        given[thread] = images[n]
        for step in range(steps):
            count, address, data = programs[thread, step]
            call_passes(address, data, 0, count)
        outputs[n] = results[thread]
        n = fetch_add(counters, 0, 1)
    for n in range(whole, len(images)):
        at = 1 + (n - whole) * 2 * (steps + 2)
        if fetch_add(counters, at, 1) == 0:
            given[threads] = images[n]
            fetch_add(counters, at + 1, 1)
        _wait(counters, at + 1, 1)
        for step in range(steps):
            at += 2
            _share(counters, at, programs[threads, step], threads)
        at += 2
        if fetch_add(counters, at, 1) == 0:
            outputs[n] = results[threads]
            fetch_add(counters, at + 1, 1)
        _wait(counters, at + 1, 1)  # the next image overwrites the results


@compiled_part
def _share(counters: Any, at: int, loop: Any, threads: int) -> None:
    """Claim parts of a loop until none is left, and wait for those that others have claimed."""
    count, address, data = loop
    parts = min(count, CLAIMS * threads)
    part = fetch_add(counters, at, 1)
    while part < parts:
        call_passes(address, data, part * count // parts, (part + 1) * count // parts)
        fetch_add(counters, at + 1, 1)
        part = fetch_add(counters, at, 1)
    _wait(counters, at + 1, parts)


@compiled_part
def _wait(counters: Any, at: int, value: int) -> None:
    pauses = 0
    while load_acquire(counters, at) < value:
        pauses += 1
        if pauses < PAUSES:
            pause()
        else:
            yield_thread()
