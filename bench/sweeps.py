"""Time of whole steps against sparsity, batch size, threads and dtype, beside PyTorch."""

from __future__ import annotations

import argparse
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
    results = {
        "sparse inference by sparsity": {
            f"{100 * rate:g} %": measured(inference(standard, rate)) for rate in RATES
        },
        "FCPTS step, released, by sparsity": {
            f"{100 * rate:g} %": measured(sparsify(standard, "released", rate))
            for rate in RATES[1:]
        },
        "FCPTS step, paper 90 %, by batch": {
            f"{n} images": measured(sparsify(Setting(n, threads, np.float32, seed), "paper", 0.9))
            for n in BATCHES
        },
        "FCPTS step, paper 90 %, by threads": {
            str(n): measured(sparsify(Setting(batch, n, np.float32, seed), "paper", 0.9))
            for n in range(1, threads + 1)
        },
        "float64": {
            "dense training step": measured(training(wide)),
            "sparse inference 90 %": measured(inference(wide, 0.9)),
            "FCPTS paper 90 %": measured(sparsify(wide, "paper", 0.9)),
        },
    }
    for name, rows in results.items():
        show(name + ": ms", rows, {})
    return results
