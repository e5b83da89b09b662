"""Whole works on a network for images of 224 x 224 pixels (``--network``) beside PyTorch.

Works as those of ``step``; pass ``--batch 16`` for the batch of the documentation, and ``--only``
for some of the works.
Memory: of FCPTS steps, measured as by ``memory``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from bench.memory import measured
from bench.works import LAYOUTS, Pair, Setting, compare, has_torch, inference, show, sparsify
from bench.works import training as training_step
from fcpts_ref.architectures.registry import architecture

RATE = 0.8  # of the FCPTS step whose peak memory is measured
MEMORY = "peak memory, MiB"
TARGETS: dict[str, dict[str, float]] = {
    "resnet18": {"inference 90 %": 0.4, "FCPTS paper 80 %": 0.7, "FCPTS released 80 %": 0.7},
    "resnet50": {"inference 90 %": 0.5, "FCPTS paper 80 %": 0.9, "FCPTS released 80 %": 0.9},
    "mobilenet_v2": {"FCPTS paper 80 %": 1.0, "FCPTS released 80 %": 1.0},
    "vit_b_32": {},  # see ``transformer``
}


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds and ratio of every work, and MiB by side."""
    dtype, name = np.dtype(arguments.dtype).type, arguments.network
    graph = architecture(name)
    setting = Setting(arguments.batch, arguments.threads, dtype, arguments.seed, graph)
    results = {}
    for title, work in works(setting).items():
        if arguments.only not in title:
            continue
        results[title] = compare(work(), arguments.rounds, best=arguments.best)
        show(f"{name}, batch {arguments.batch}: ms", {title: results[title]}, TARGETS[name])
    if arguments.only in MEMORY:
        results[MEMORY] = peak_memory(arguments, name, RATE)
        show(f"{name}, batch {arguments.batch}", {MEMORY: results[MEMORY]}, {MEMORY: 1.0})
    return results


def peak_memory(arguments: argparse.Namespace, network: str, rate: float) -> dict[str, float]:
    """MiB by side, and the ratio, of an FCPTS step at a sparsity rate."""
    sides = ("ours", *LAYOUTS) if has_torch() else ("ours",)
    batch, threads = arguments.batch, arguments.threads
    result = {side: measured(side, batch, threads, network, rate) for side in sides}
    if len(result) > 1:
        result["ratio"] = result["ours"] / min(result[layout] for layout in LAYOUTS)
    return result


def works(setting: Setting) -> dict[str, Callable[[], Pair]]:
    """The works by name."""
    return {
        "dense forward": lambda: inference(setting, 0.0),
        "inference 80 %": lambda: inference(setting, 0.8),
        "inference 90 %": lambda: inference(setting, 0.9),
        "dense training step": lambda: training_step(setting),
        "FCPTS paper 80 %": lambda: sparsify(setting, "paper", 0.8),
        "FCPTS released 80 %": lambda: sparsify(setting, "released", 0.8),
        "FCPTS paper 90 %": lambda: sparsify(setting, "paper", 0.9),
    }
