"""What each open point of the paper changes in practice: one convention switched at a time.

    python -m tools.open_points run      all runs on the embedded digits, to docs/open_points.json
    python -m tools.open_points table    the table of docs/specification.md from that file

Every row is the paper profile with the choice named, but for the last, the released profile;
everything else is the default of the profile: 10 epochs, batches of 64, Numba.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from fcpts_ref.data.dataset import Dataset, read_dataset
from fcpts_ref.engines.make import make_engine
from fcpts_ref.experiments.checksums import versions
from fcpts_ref.experiments.inputs import draw_calibration
from fcpts_ref.experiments.training import accuracy
from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.registry import sparsify
from fcpts_ref.resources import resource_path
from fcpts_ref.spec.conventions import OPEN_POINTS
from fcpts_ref.storage.network_files import read_network

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "open_points.json"
SEEDS = (0, 1, 2)
TARGET = 0.95
"""High enough to tell choices apart: at 90 % the paper profile loses next to nothing here."""

ROWS: tuple[tuple[int | None, str, dict[str, Any]], ...] = (
    (None, "paper", {}),
    (1, "tie=half", {"tie": "half"}),
    (3, "reconstruction_moves_thresholds=false", {"reconstruction_moves_thresholds": False}),
    (4, "mask_gradient_reaches_weights=true", {"mask_gradient_reaches_weights": True}),
    (5, "temperature=4", {"temperature": 4.0}),
    (7, "threshold_parameter=sigmoid", {"threshold_parameter": "sigmoid"}),
    (
        7,
        "threshold_parameter=sigmoid, threshold_learning_rate=0.01",
        {"threshold_parameter": "sigmoid", "threshold_learning_rate": 0.01},
    ),
    (8, "initial_allocation=uniform", {"initial_allocation": "uniform"}),
    (8, "initial_allocation=l2norm", {"initial_allocation": "l2norm"}),
    (8, "initial_allocation=lamp", {"initial_allocation": "lamp"}),
    (9, "strict_rate=true", {"strict_rate": True}),
    (10, "density=histogram", {"density": "histogram"}),
    (11, "bandwidth=absolute", {"bandwidth": "absolute"}),
    (12, "at_target=zero", {"at_target": "zero"}),
    (13, "control_weight=0.1", {"control_weight": 0.1}),
    (13, "control_weight=10", {"control_weight": 10.0}),
    (15, "student_batch_norm=evaluation", {"student_batch_norm": "evaluation"}),
    (15, "teacher_batch_norm=training", {"teacher_batch_norm": "training"}),
    (16, "threshold_learning_rate=0.01", {"threshold_learning_rate": 0.01}),
    (16, "nesterov=true", {"nesterov": True}),
    (16, "momentum=0", {"momentum": 0.0}),
    (16, "weight_decay=0", {"weight_decay": 0.0}),
    (16, "warmup_epochs=0", {"warmup_epochs": 0}),
    (17, "128 images, 75 epochs", {"images": 128, "epochs": 75}),
    (18, "control projection", {"control": "projection"}),
    (None, "released", {"profile": "released"}),
)
"""Open point, name, what is switched."""

SETTINGS = ("images", "epochs", "control", "profile")  # of the run; all others are conventions


def run(threads: int) -> dict[str, Any]:
    """All rows with all seeds."""
    network, _ = read_network(resource_path("resnet8-digits.h5"))
    dataset = read_dataset(resource_path("digits.h5"))
    rows = []
    for point, name, switched in ROWS:
        results = [_run_once(network, dataset, dict(switched), seed, threads) for seed in SEEDS]
        top1, rates = ([r[i] for r in results] for i in (0, 1))
        rows.append({"point": point, "name": name, "top1": top1, "rate_before_projection": rates})
        print(f"{name:<58} {np.mean(top1):.4f} {np.mean(rates):.4f}", flush=True)
    return {
        "command": "python -m tools.open_points run",
        "network": network.graph.name,
        "data": dataset.name,
        "target": TARGET,
        "seeds": list(SEEDS),
        "test_images": len(dataset.test),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(),
        "rows": rows,
    }


def _run_once(
    network: Network, dataset: Dataset, switched: dict[str, Any], seed: int, threads: int
) -> tuple[float, float]:
    """Top-1 after the last projection, and the global rate before it."""
    settings = {name: switched.pop(name) for name in SETTINGS if name in switched}
    settings = {"profile": "paper"} | settings
    count = settings.pop("images", len(dataset.train))
    chosen = draw_calibration(len(dataset.train), count, np.random.default_rng(seed))
    result = sparsify(
        network,
        dataset.as_floats(dataset.train.images[chosen], network.dtype),
        target=TARGET,
        seed=seed,
        threads=threads,
        choices=switched,
        **settings,
    )
    engine = make_engine(network.graph, "numba", threads=threads)
    test = dataset.as_floats(dataset.test.images, network.dtype)
    assert dataset.test.labels is not None
    top1 = accuracy(result.network, test, dataset.test.labels, engine=engine).top1
    return top1, result.rate_before_projection


def table(results: dict[str, Any]) -> str:
    """The rows as Markdown: mean top-1, least and greatest of the seeds, mean rate."""
    lines = [
        "| point | paper profile with | top-1, mean (least to greatest) | rate before projection |",
        "|---|---|---|---|",
    ]
    for row in results["rows"]:
        top1, rate = 100 * np.array(row["top1"]), 100 * np.mean(row["rate_before_projection"])
        lines.append(
            f"| {row['point'] or ''} | {row['name']} "
            f"| {top1.mean():.1f} % ({top1.min():.1f} to {top1.max():.1f}) | {rate:.2f} % |"
        )
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("run", "table"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    assert {row[0] for row in ROWS} - {None} <= {point.number for point in OPEN_POINTS}
    if arguments.verb == "run":
        RESULTS.write_text(json.dumps(run(arguments.threads), indent=1) + "\n", encoding="utf-8")
    print(table(json.loads(RESULTS.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
