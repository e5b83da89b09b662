"""Time and peak memory of an FCPTS step (paper profile, 80 %) whose batch is divided.

``--network`` as elsewhere, or ``--only cifar`` for ResNet-32 on images of CIFAR's size.  Memory is
measured as by ``memory``, each size in its own process.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.measure import alternate
from bench.memory import measured
from bench.works import Setting, sparsify
from fcpts_ref.architectures.registry import architecture

RATE = 0.8
PARTS = (1, 2, 4, 16)
"""How many parts a batch is run in."""


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds and MiB by the images that are run at a time."""
    name = "" if arguments.only == "cifar" else arguments.network
    graph = architecture(name) if name else None
    dtype = np.dtype(arguments.dtype).type
    sizes = sorted({-(-arguments.batch // parts) for parts in PARTS}, reverse=True)
    works = {}
    for size in sizes:
        setting = Setting(arguments.batch, arguments.threads, dtype, arguments.seed, graph)
        divided = 0 if size == arguments.batch else size
        works[str(size)], _ = sparsify(setting, "paper", RATE, micro_batch=divided)
    times = alternate(works, arguments.rounds, arguments.best)
    results = {}
    print(f"{name or 'ResNet-32 for CIFAR'}, batch {arguments.batch}")
    print(f"{'at a time':>10}{'ms':>10}{'ratio':>8}{'MiB':>8}{'ratio':>8}")
    for size, time in times.items():
        divided = 0 if int(size) == arguments.batch else int(size)
        batch, threads = arguments.batch, arguments.threads
        memory = measured("ours", batch, threads, name, RATE, divided)
        results[size] = {"ms": time, "MiB": memory}
        whole = results[str(arguments.batch)]
        ratios = time / whole["ms"], memory / whole["MiB"]
        print(f"{size:>10}{time:>10.0f}{ratios[0]:>8.2f}{memory:>8.0f}{ratios[1]:>8.2f}")
    return results
