"""Time of whole steps against sparsity, batch size, threads and dtype, beside PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.works import Setting, compare, inference, show, sparsify, training

RATES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
BATCHES = (1, 8, 32, 64, 128)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; one table for each axis."""
    batch, threads, seed = arguments.batch, arguments.threads, arguments.seed

    def measured(pair: Any) -> dict[str, float]:
        return compare(pair, arguments.rounds, best=arguments.best)

    standard = Setting(batch, threads, np.float32, seed)
    wide = Setting(batch, threads, np.float64, seed)

    def step(images: int, count: int) -> Any:
        return sparsify(Setting(images, count, np.float32, seed), "paper", 0.9)

    axes: dict[str, dict[str, Callable[[], Any]]] = {
        "sparse inference by sparsity": {
            f"{100 * rate:g} %": partial(inference, standard, rate) for rate in RATES
        },
        "FCPTS step, released, by sparsity": {
            f"{100 * rate:g} %": partial(sparsify, standard, "released", rate) for rate in RATES[1:]
        },
        "FCPTS step, paper 90 %, by batch": {
            f"{n} images": partial(step, n, threads) for n in BATCHES
        },
        "FCPTS step, paper 90 %, by threads": {
            str(n): partial(step, batch, n) for n in range(1, threads + 1)
        },
        "float64": {
            "dense training step": partial(training, wide),
            "sparse inference 90 %": partial(inference, wide, 0.9),
            "FCPTS paper 90 %": partial(sparsify, wide, "paper", 0.9),
        },
    }
    results: dict[str, Any] = {}
    for name, works in axes.items():
        results[name] = {row: measured(work()) for row, work in works.items()}
        show(name + ": ms", results[name], {})
    return results
