"""Steps on ViT-B/32, images of 224 x 224 pixels, beside PyTorch.

The works of ``step`` at the rate of the paper's transformers; pass ``--batch 16`` for the batch of
the documentation, and ``--only`` for one of the works.  Both sides run eagerly; PyTorch's attention
is its fused one.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.imagenet import MEMORY, peak_memory
from bench.works import Setting, compare, show, sparsify
from fcpts_ref.architectures.registry import architecture

NETWORK, RATE = "vit_b_32", 0.6
TARGETS = {"FCPTS paper 60 %": 1.0, "... with teacher each step": 1.0}


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds and ratio of every work."""
    dtype = np.dtype(arguments.dtype).type
    setting = Setting(
        arguments.batch, arguments.threads, dtype, arguments.seed, architecture(NETWORK)
    )
    works = {
        "FCPTS paper 60 %": lambda: sparsify(setting, "paper", RATE),
        "... with teacher each step": lambda: sparsify(setting, "paper", RATE, teacher=True),
    }
    results: dict[str, dict[str, float]] = {}
    for name, work in works.items():
        if arguments.only not in name:
            continue
        results[name] = compare(work(), arguments.rounds, best=arguments.best)
        title = f"{NETWORK}, batch {arguments.batch}: ms"
        show(title, {name: results[name]}, TARGETS)
    if arguments.only in MEMORY:
        results[MEMORY] = peak_memory(arguments, NETWORK, RATE)
        show(f"{NETWORK}, batch {arguments.batch}", {MEMORY: results[MEMORY]}, {MEMORY: 1.0})
    return results
