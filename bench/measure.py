"""What benchmarks share: alternating timing, and what machine it is."""

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
from numba import njit, prange

from fcpts_ref.engines.numba.jit.host import REGISTERS, VECTOR_BYTES

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
    calls: int = 1,
) -> dict[str, float]:
    """Median milliseconds of each function (best: the least, for a machine that is shared).

    They take turns, so that whatever else the machine does meets all of them alike; two rounds
    before the measured ones warm up caches and compile.
    clock: ``time.process_time`` for functions of one thread, so that other programs do not count.
    calls: in a turn, of which the last is measured.  Threads of another library wait for work in a
    loop for some milliseconds after its turn and keep a core from functions as short as that.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 2):
        for name, function in functions.items():
            for _ in range(calls - 1):
                function()
            start = clock()
            function()
            times[name].append(1e3 * (clock() - start))
    return {name: (min if best else median)(values[2:]) for name, values in times.items()}


@njit(parallel=True)
def _count(passes: int) -> int:
    total = 0
    for _ in prange(passes):
        total += 1
    return total


def machine() -> dict[str, Any]:
    """Processor, vectors, what shares out the work, and versions."""
    _count(1)  # Numba chooses a threading layer when the first loop of threads runs
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
