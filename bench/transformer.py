"""Whole works on ViT-B/32, images of 224 x 224 pixels, beside PyTorch; memory at the peak.

As ``imagenet``, whose works these are at the rate of the paper's transformers; pass ``--batch 16``
for the batch of the documentation.  Both sides run eagerly; PyTorch's attention is its fused one.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.memory import measured
from bench.networks import NETWORKS
from bench.works import Setting, compare, has_torch, inference, show, sparsify
from bench.works import training as training_step

NETWORK, RATE = "vit_b_32", 0.6
TARGETS = {"FCPTS paper 60 %": 1.0, "... with teacher each step": 1.0, "peak memory, MiB": 1.0}


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds and ratio of every work, and MiB by side."""
    dtype = np.dtype(arguments.dtype).type
    results: dict[str, dict[str, float]] = {}
    title = f"{NETWORK}, batch {arguments.batch}: ms"
    works = {
        "dense forward": lambda s: inference(s, 0.0),
        "inference 90 %": lambda s: inference(s, 0.9),
        "dense training step": training_step,
        "FCPTS paper 60 %": lambda s: sparsify(s, "paper", RATE),
        "... with teacher each step": lambda s: sparsify(s, "paper", RATE, teacher=True),
        "FCPTS paper 90 %": lambda s: sparsify(s, "paper", 0.9),
    }
    for name, work in works.items():
        graph = NETWORKS[NETWORK]()
        setting = Setting(arguments.batch, arguments.threads, dtype, arguments.seed, graph)
        results[name] = compare(work(setting), arguments.rounds, best=arguments.best)
        show(title, {name: results[name]}, TARGETS)
    sides = ("ours", "contiguous") if has_torch() else ("ours",)
    memory = {
        side: measured(side, arguments.batch, arguments.threads, NETWORK, RATE) for side in sides
    }
    if len(memory) > 1:
        memory["ratio"] = memory["ours"] / memory["contiguous"]
    results["peak memory, MiB"] = memory
    show(title, {"peak memory, MiB": memory}, TARGETS)
    return results
