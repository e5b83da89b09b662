"""Whole works on a network for images of 224 x 224 pixels (``--network``) beside PyTorch.

As ``step``, whose works these are; pass ``--batch 16`` for the batch of the documentation.
Memory: of FCPTS steps, measured as by ``memory``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from bench.memory import measured
from bench.networks import NETWORKS
from bench.works import LAYOUTS, Pair, Setting, compare, has_torch, inference, show, sparsify
from bench.works import training as training_step

RATE = 0.8  # of the FCPTS step whose peak memory is measured
TARGETS: dict[str, dict[str, float]] = {
    "resnet18": {"inference 90 %": 0.4, "FCPTS paper 80 %": 0.7, "FCPTS released 80 %": 0.7},
    "resnet50": {"inference 90 %": 0.5, "FCPTS paper 80 %": 0.9, "FCPTS released 80 %": 0.9},
    "mobilenet_v2": {"FCPTS paper 80 %": 1.0, "FCPTS released 80 %": 1.0},
    "vit_b_32": {},  # see ``transformer``
}


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds and ratio of every work, and MiB by side."""
    dtype, name = np.dtype(arguments.dtype).type, arguments.network
    graph = NETWORKS[name]()
    setting = Setting(arguments.batch, arguments.threads, dtype, arguments.seed, graph)
    results = {}
    for title, work in works(setting).items():
        results[title] = compare(work(), arguments.rounds, best=arguments.best)
        show(f"{name}, batch {arguments.batch}: ms", {title: results[title]}, TARGETS[name])
    sides = ("ours", *LAYOUTS) if has_torch() else ("ours",)
    memory = {
        side: measured(side, arguments.batch, arguments.threads, name, RATE) for side in sides
    }
    if len(memory) > 1:
        memory["ratio"] = memory["ours"] / min(memory[layout] for layout in LAYOUTS)
    results["peak memory, MiB"] = memory
    show(f"{name}, batch {arguments.batch}", results, TARGETS[name] | {"peak memory, MiB": 1.0})
    return results


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
