"""What benchmarks share: alternating timing, the machine's peak, and what machine it is."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import njit, prange

from fcpts_ref.engines.numba.jit.host import REGISTERS, VECTOR_BYTES
from fcpts_ref.engines.numba.simd.register_tiles import outer_product, zero_tile
from fcpts_ref.engines.numba.simd.types import lanes
from fcpts_ref.engines.numba.simd.vectors import sum_lanes
from fcpts_ref.engines.numba.tuning import TILE_ROWS, TILE_VECTORS

PACKAGES = ("fcpts-ref", "numpy", "numba", "llvmlite", "tbb", "torch")


def optional_torch(threads: int) -> ModuleType | None:
    """PyTorch with this many threads, or None if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    return torch


def alternate(
    functions: Mapping[str, Callable[[], object]],
    rounds: int,
    best: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median milliseconds of each function (best: the least, for a machine that is shared).

    They take turns, so that whatever else the machine does meets all of them alike; two rounds
    before the measured ones warm up caches and compile.
    clock: ``time.process_time`` for functions of one thread, so that other programs do not count.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 2):
        for name, function in functions.items():
            start = clock()
            function()
            times[name].append(1e3 * (clock() - start))
    return {name: (min if best else median)(values[2:]) for name, values in times.items()}


@njit(nogil=True, parallel=True)
def _multiply_add_loop(w: Any, x: Any, shape: Any, lane_shape: Any, sums: Any, count: int) -> None:
    for thread in prange(sums.size):
        tile = zero_tile(x, shape, TILE_ROWS, lane_shape)
        for _ in range(count):
            tile = outer_product(tile, shape, w, 0, x, 0, None)
        total = w[0]
        for value in tile:
            total += sum_lanes(value)
        sums[thread] = total


def peak_gflops(dtype: str, threads: int) -> float:
    """GFLOP/s of multiply-adds on registers: the best of several runs."""
    count, L = 200_000, lanes(dtype)
    w, x = np.ones(TILE_ROWS, dtype), np.ones(TILE_VECTORS * L, dtype)
    sums = np.zeros(threads, dtype)
    shapes = (0,) * TILE_VECTORS, (0,) * L
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        _multiply_add_loop(w, x, *shapes, sums, count)
        best = min(best, time.perf_counter() - start)
    return 2 * threads * count * TILE_ROWS * TILE_VECTORS * L / best / 1e9


def machine() -> dict[str, Any]:
    """Processor, vectors, what shares out the work, and versions."""
    peak_gflops("float32", 1)  # Numba chooses a threading layer when the first kernel runs
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "processor": llvm.get_host_cpu_name(),
        "vector_bytes": VECTOR_BYTES,
        "registers": REGISTERS,
        "threading_layer": numba.threading_layer(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }
