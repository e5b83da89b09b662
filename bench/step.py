"""Whole steps on ResNet-32 beside PyTorch, doing the same work with masks as multiplications.

Random weights and images; pruned weights are the smallest of each layer, FCPTS starts from ERK.
``ratio`` is over the better of PyTorch's two layouts; ``target`` is the ratio to reach.

dense forward, sparse inference: logits in evaluation mode.
dense training step: forward in training mode, backward, SGD.
FCPTS paper: a step as a run without augmentation does it; the teacher evaluates, so its logits
    are known from before, on both sides.  "... with teacher each step": with its forward pass,
    on both sides, as under augmentation.
FCPTS released: the teacher's batch norm is in training mode, so its forward pass is always in.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.works import Setting, compare, show, works

TARGETS = {
    "dense forward (teacher)": 1.0,
    "dense training step": 1.0,
    "sparse inference 70 %": 0.6,
    "sparse inference 90 %": 0.35,
    "FCPTS paper 90 %": 0.5,
    "... with teacher each step": 0.5,
    "FCPTS released 90 %": 0.4,
    "FCPTS paper 70 %": 0.7,
    "FCPTS paper 50 %": 0.85,
}


def run(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measure and print; milliseconds and ratio of every work."""
    dtype = np.dtype(arguments.dtype).type
    setting = Setting(arguments.batch, arguments.threads, dtype, arguments.seed)
    results = {
        name: compare(work(), arguments.rounds, best=arguments.best)
        for name, work in works(setting).items()
    }
    threads = f"{arguments.threads} thread" + ("s" if arguments.threads > 1 else "")
    show(f"batch {arguments.batch}, {arguments.dtype}, {threads}: ms", results, TARGETS)
    return results
