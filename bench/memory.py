"""Peak memory of FCPTS steps (paper profile, 90 %), ours and PyTorch's, each in its own process.

Counted above what stands after a warm-up with a few images: interpreter, compiled code, pools.
Linux only: the peak is read from /proc.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import subprocess
import sys
from contextlib import suppress

import numpy as np

from bench.works import LAYOUTS, Setting, has_torch, sparsify
from fcpts_ref.architectures.registry import architecture
from fcpts_ref.engines.numba.tuning import ROW_MIN_IMAGES  # with fewer some kernels are not used

STEPS = 3


def run(arguments: argparse.Namespace) -> dict[str, float]:
    """Measure and print; MiB by side."""
    sides = ("ours", *LAYOUTS) if has_torch() else ("ours",)
    results = {side: measured(side, arguments.batch, arguments.threads) for side in sides}
    print("Peak above the start, MiB")
    for side, value in results.items():
        print(f"{side:20}{value:8.0f}")
    return results


def measured(
    side: str,
    batch: int,
    threads: int,
    network: str = "",
    rate: float = 0.9,
    micro_batch: int = 0,
) -> float:
    """MiB at the peak of a process of its own; network: an architecture, default ResNet-32."""
    sizes = [str(batch), str(threads), str(rate), str(micro_batch)]
    command = [sys.executable, "-m", "bench.memory", side, *sizes, network]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(process.stdout.split()[-1])


def peak(side: str, batch: int, threads: int, rate: float, micro_batch: int, network: str) -> float:
    """MiB at the peak of some steps, in this process."""
    graph = architecture(network) if network else None
    for images in (ROW_MIN_IMAGES, batch):
        setting = Setting(images, threads, np.float32, 0, graph)
        ours, theirs = sparsify(setting, "paper", rate, micro_batch=micro_batch)
        work = ours if side == "ours" else theirs(side)
        if images == ROW_MIN_IMAGES:
            work()
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)  # what is free but held back would not count
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before = _status("VmRSS")
    for _ in range(STEPS):
        work()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """A field of /proc/self/status in KiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field))


if __name__ == "__main__":
    sizes = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    print(peak(sys.argv[1], *sizes, sys.argv[6]))
