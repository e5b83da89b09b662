"""What the machine can do at most: multiply-adds on registers, and copies through memory."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit

from fcpts_ref.engines.numba.jit.host import REGISTERS
from fcpts_ref.engines.numba.simd.register_tiles import outer_product, zero_tile
from fcpts_ref.engines.numba.simd.types import lanes
from fcpts_ref.engines.numba.simd.vectors import sum_lanes

ROWS, VECTORS = (4, 5) if REGISTERS >= 32 else (2, 4)  # the tile and its operands fit in registers
RUNS = 8  # of which the best counts
PASSES = 200_000  # of the loop of multiply-adds
COPIED = 2**26  # bytes a thread copies: more than caches hold
MULTIPLY_ADD = re.compile(r"\tv?f(n?m)?(madd|mla)")  # x86's vfmadd..., ARM's fmla
STACK = re.compile(r"\(%[re]?[sb]p|\[sp\b")


@njit(nogil=True)
def multiply_adds(w: Any, x: Any, N_VECTORS: Any, LANES: Any, count: int) -> float:
    """Add products to a tile of registers; count: how often.

    A function of its own, without threads: inside of ``prange`` the compiler moves the tile through
    memory on some processors (see ``stack_moves``).
    """
    tile = zero_tile(x, N_VECTORS, ROWS, LANES)
    for _ in range(count):
        tile = outer_product(tile, N_VECTORS, w, 0, x, 0, None)
    total = w[0]
    for value in tile:
        total += sum_lanes(value)
    return total


def peak_gflops(dtype: str, threads: int) -> float:
    """GFLOP/s of multiply-adds on registers, all threads together."""
    L = lanes(dtype)
    w, x = np.ones(ROWS, dtype), np.ones(VECTORS * L, dtype)
    arguments = w, x, (0,) * VECTORS, (0,) * L, PASSES
    seconds = _best(lambda _: multiply_adds(*arguments), threads)
    return 2 * threads * PASSES * ROWS * VECTORS * L / seconds / 1e9


def bandwidth(threads: int) -> float:
    """GB/s that are read and written while memory is copied, all threads together."""
    arrays = [(np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)) for _ in range(threads)]
    return 2 * threads * COPIED / _best(lambda i: np.copyto(*arrays[i][::-1]), threads) / 1e9


def stack_moves() -> int:
    """How many instructions of the loop of ``multiply_adds`` use the stack; 0 if it is good.

    Of all signatures that were compiled; a loop is the block of machine code with most
    multiply-adds.
    """
    blocks = [
        re.split(r"\n[.\w$]+:", text) for text in multiply_adds.inspect_asm().values()
    ]  # labels divide blocks
    loops = [max(found, key=lambda block: len(MULTIPLY_ADD.findall(block))) for found in blocks]
    return sum(len(STACK.findall(loop)) for loop in loops)


def _best(work: Callable[[int], object], threads: int) -> float:
    """Least seconds of several runs in which every thread does the work once."""
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
        for _ in range(RUNS):
            start = time.perf_counter()
            list(pool.map(work, range(threads)))
            best = min(best, time.perf_counter() - start)
    return best
