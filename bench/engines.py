"""The predictor beside the inference engines that there are, on a network pruned with ERK.

    python -m bench --network resnet32 engines [--python deepsparse=OTHER/bin/python]

ONNX Runtime, OpenVINO and DeepSparse are optional; each reads the ONNX file that this package
exports, and each runs in a process of its own: of this Python if it has the engine, or of that
given by ``--python``.  They take turns, some passes at a time, and their logits must agree.
``forward`` is this package's engine with a ``WeightCache``, ``predictor`` its compiled program.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.deployment import pruned
from bench.engine_process import MAKERS
from bench.processes import Process
from fcpts_ref.architectures.registry import architecture
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.interchange.onnx.exporting import export_onnx
from fcpts_ref.storage.network_files import write_network

ROOT = Path(__file__).parents[1]
RATES = (0.7, 0.9)
BATCHES = {1: 20, 16: 3, 64: 1}
"""Passes of a turn by batch size; the first meets the caches as another engine left them."""
WARM_UP = 2  # turns
PAUSE = 0.05  # seconds before a turn, in which the last engine's waiting threads go to sleep
TOLERANCE = 1e-3  # of logits, relative to the largest: float32 in other orders


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; versions by engine, median milliseconds by rate, batch and engine."""
    generator = np.random.default_rng(arguments.seed)
    graph = architecture(arguments.network)
    mean, std = (0.5,) * 3, (0.25,) * 3
    dense = initialise(graph, generator, dtype=np.float32, mean=mean, std=std)
    images = generator.random((max(BATCHES), *graph.input_shape)).astype(np.float32)
    pythons = _pythons(arguments.python)
    results: dict[str, Any] = {}
    versions: dict[str, str] = {}
    for rate in RATES:
        names = {batch: f"{100 * rate:.0f} %, batch {batch}" for batch in BATCHES}
        names = {batch: name for batch, name in names.items() if arguments.only in name}
        if not names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network"
            _write(path, pruned(dense, images, rate), images)
            engines = _start(path, pythons, arguments.threads)
            try:
                versions |= {name: process.line() for name, process in engines.items()}
                for batch, name in names.items():
                    results[name] = _measure(engines, batch, arguments.rounds, path)
                    _show(name, results[name], head=len(results) == 1)
            finally:
                for process in engines.values():
                    process.close()
    return {"versions": versions, "milliseconds": results}


def _pythons(given: list[str]) -> dict[str, str]:
    """The Python of every engine that there is, by the engine's name."""
    pythons = {name: sys.executable for name in MAKERS if name in ("predictor", "forward")}
    if find_spec("onnx") is None:
        return pythons
    pythons |= {name: sys.executable for name in MAKERS if find_spec(name)}
    for text in given:
        name, _, python = text.partition("=")
        if name not in MAKERS or not Path(python).exists():
            raise InputError(
                f"--python got {text!r}; expected ENGINE=PATH with an engine of "
                f"{', '.join(MAKERS)} and the path of a Python"
            )
        pythons[name] = python
    return pythons


def _write(path: Path, network: Any, images: Any) -> None:
    write_network(path.with_suffix(".h5"), network)
    np.save(path.with_suffix(".npy"), images)
    if find_spec("onnx"):
        export_onnx(path.with_suffix(".onnx"), network)


def _start(path: Path, pythons: dict[str, str], threads: int) -> dict[str, Process]:
    """Start all engines; the first line of each is its version."""
    program = str(ROOT / "bench" / "engine_process.py")
    settings = str(path), str(path.with_suffix(".npy")), str(threads)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return {
        name: Process([python, "-P", program, name, *settings], environment=environment)
        for name, python in pythons.items()
    }


def _measure(engines: dict[str, Process], batch: int, rounds: int, path: Path) -> dict[str, float]:
    """Median milliseconds by engine.  Raises InputError if their logits differ."""
    logits = {}
    for name, process in engines.items():
        file = path.with_name(f"{name}.npy")
        process.ask(f"logits {batch} {file}")
        logits[name] = np.load(file, allow_pickle=False)
    largest = np.abs(logits["forward"]).max()
    for name, found in logits.items():
        difference = np.abs(found - logits["forward"]).max() / largest
        if not difference <= TOLERANCE:
            raise InputError(f"logits of {name} differ by {difference:.1e} of the largest")
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(rounds + WARM_UP):
        for name, process in engines.items():
            time.sleep(PAUSE)
            times[name].append(float(process.ask(f"{batch} {BATCHES[batch]}")))
    return {name: median(found[WARM_UP:]) for name, found in times.items()}


def _show(name: str, times: dict[str, float], head: bool) -> None:
    if head:
        print(" " * 16 + "".join(f"{engine:>12}" for engine in times))
    print(f"{name:16}" + "".join(f"{ms:12.3f}" for ms in times.values()), flush=True)
