"""How long a run waits for the compiler on a machine without compiled kernels.

FCPTS (the default profile, two epochs of 128 random images, 90 %) on a ResNet-32 with random
weights, each side in a process of its own with an empty cache: with one core, and with a second one
that compiles the kernels of backward ahead.  Takes minutes; of the options only --json counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from bench.works import Setting
from fcpts_ref.engines.numba.warmup import backward_compiled_ahead
from fcpts_ref.pruning.registry import sparsify

ROUNDS = 3
IMAGES = 128


def run(arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Measure and print; seconds by side and round."""
    results: dict[str, list[dict[str, float]]] = {"one core": [], "two cores": []}
    print(f"{'':12}{'compiling':>12}{'in all':>10}   seconds")
    for _ in range(ROUNDS):
        for side, found in results.items():
            found.append(_measured(side))
            print(f"{side:12}{found[-1]['compiling']:12.1f}{found[-1]['in all']:10.1f}", flush=True)
    return results


def _measured(side: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.run(
            [sys.executable, "-m", "bench.cold", side],
            env={**os.environ, "NUMBA_CACHE_DIR": folder},
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, float] = json.loads(process.stdout)
    return result


def cold_run(side: str) -> dict[str, float]:
    """Seconds of a run and of the compiler in it, in this process."""
    from numba.core import event

    threads = 1 if side == "one core" else 2
    setting = Setting(IMAGES, threads, np.float32, 0)
    spent, begun = [0.0], []

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            begun.append(time.perf_counter())

        def on_end(self, event: Any) -> None:
            start = begun.pop()
            if not begun:  # not for another kernel that is being compiled
                spent[0] += time.perf_counter() - start

    network, start = setting.network, time.perf_counter()
    ahead = backward_compiled_ahead(network.graph, np.float32, threads)
    with event.install_listener("numba:compile", Listener()), ahead:
        sparsify(network, setting.images, target=0.9, threads=threads, epochs=2)
    return {"compiling": spent[0], "in all": time.perf_counter() - start}


if __name__ == "__main__":
    print(json.dumps(cold_run(sys.argv[1])))
