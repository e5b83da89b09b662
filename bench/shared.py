"""A FCPTS step (released profile, 90 %) beside other programs, by what shares the work out.

As many other programs as threads run an empty loop meanwhile.  The layers take turns, each in
its own process: one thread, OpenMP and, where it is installed, oneTBB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np

from bench.works import Setting, sparsify
from fcpts_ref.engines.numba.jit.threads import find_tbb

BUSY = "while True: pass"
TURNS = 3


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds by layer, on quiet cores and on busy ones."""
    threads = arguments.threads
    sides = {"1 thread": (1, "omp"), f"{threads} threads, OpenMP": (threads, "omp")}
    if find_tbb():
        sides[f"{threads} threads, oneTBB"] = (threads, "tbb")
    results: dict[str, dict[str, float]] = {side: {} for side in sides}
    for name, busy in (("quiet", 0), ("busy", threads)):
        times: dict[str, list[float]] = {side: [] for side in sides}
        with _busy_programs(busy):
            for _ in range(TURNS):
                for side, (count, layer) in sides.items():
                    times[side].append(_measured(layer, arguments.batch, count, arguments.rounds))
        for side in sides:
            results[side][name] = median(times[side])
    print(f"{'ms':20}{'quiet':>10}{'busy':>10}")
    for side, row in results.items():
        print(f"{side:20}{row['quiet']:10.1f}{row['busy']:10.1f}")
    return results


@contextmanager
def _busy_programs(count: int) -> Iterator[None]:
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _measured(layer: str, batch: int, threads: int, rounds: int) -> float:
    command = [sys.executable, "-m", "bench.shared", str(batch), str(threads), str(rounds)]
    environment = os.environ | {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": str(threads)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(process.stdout.split()[-1])


def step_time(batch: int, threads: int, rounds: int) -> float:
    """Median milliseconds of a step, in this process."""
    ours, _ = sparsify(Setting(batch, threads, np.float32, 0), "released", 0.9)
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        ours()
        times.append(1e3 * (time.perf_counter() - start))
    return median(times[2:])


if __name__ == "__main__":
    print(step_time(*map(int, sys.argv[1:])))
