"""The predictor beside the inference engines that are installed: ResNet-32, pruned with ERK.

    python -m bench engines [--only 90]

ONNX Runtime, OpenVINO and DeepSparse are optional; each reads the ONNX file that this package
exports.  All take turns in one process, pass by pass.  ``forward`` is this package's engine with a
``WeightCache``, ``predictor`` its compiled program.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.deployment import inference, pruned
from bench.measure import alternate
from fcpts_ref.architectures.registry import architecture
from fcpts_ref.engines.predictor import Predictor
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.interchange.onnx.exporting import export_onnx

RATES = (0.7, 0.9)
BATCHES = (1, 16, 64)
Infer = Callable[[Any], Any]


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure and print: median milliseconds by rate, batch and engine."""
    generator = np.random.default_rng(arguments.seed)
    graph = architecture("resnet32")
    mean, std = (0.5,) * 3, (0.25,) * 3
    dense = initialise(graph, generator, dtype=np.float32, mean=mean, std=std)
    images = generator.random((max(BATCHES), *graph.input_shape)).astype(np.float32)
    results: dict[str, Any] = {}
    for rate in RATES:
        network = pruned(dense, images, rate)
        engines = make_engines(network, arguments.threads)
        for batch in BATCHES:
            name = f"{100 * rate:.0f} %, batch {batch}"
            if arguments.only not in name:
                continue
            some = images[:batch]
            works = {engine: partial(infer, some) for engine, infer in engines.items()}
            works["forward"] = inference(network, some, arguments.threads)
            results[name] = alternate(works, arguments.rounds, arguments.best)
            if len(results) == 1:
                print(" " * 16 + "".join(f"{engine:>14}" for engine in works))
            print(f"{name:16}" + "".join(f"{ms:14.3f}" for ms in results[name].values()))
    return results


def make_engines(network: Any, threads: int) -> dict[str, Infer]:
    """Return the functions that compute logits: ours, and those of the engines installed."""
    engines: dict[str, Infer] = {"predictor": Predictor(network, threads=threads).logits}
    makers = {
        "onnxruntime": _onnx_runtime,
        "openvino": _openvino,
        "deepsparse": _deepsparse,
    }
    makers = {name: make for name, make in makers.items() if find_spec(name)}
    if makers and find_spec("onnx"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            export_onnx(path, network)
            engines |= {name: make(path, threads) for name, make in makers.items()}
    return engines


def _onnx_runtime(path: Path, threads: int) -> Infer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def _openvino(path: Path, threads: int) -> Infer:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda images: model(images)[0]


def _deepsparse(path: Path, threads: int) -> Infer:
    """Compile the model for each batch size, as DeepSparse's models have a fixed one."""
    import deepsparse

    models = {batch: deepsparse.Engine(str(path), batch, threads) for batch in BATCHES}
    return lambda images: models[len(images)].run([images])[0]
