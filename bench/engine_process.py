"""One inference engine in a process of its own, for ``engines``; any Python that has it runs this.

    python bench/engine_process.py ENGINE NETWORK IMAGES THREADS

ENGINE: of ``MAKERS``; NETWORK: a path without its ending (.onnx; .h5 for this package's engines);
IMAGES: a .npy file.  Prints the engine's version, then answers each line ``BATCH PASSES`` with the
milliseconds of a pass over that many images, and ``logits BATCH FILE`` by writing the file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Infer = Callable[[Any], Any]


def main(engine: str, network: str, images: str, threads: str) -> None:
    """Serve until standard input ends."""
    pixels = np.load(images, allow_pickle=False)
    package, make = MAKERS[engine]
    infer = make(network, int(threads))
    print(version(package), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "logits":
            np.save(words[2], infer(pixels[: int(words[1])]))
            print("written", flush=True)
        else:
            print(milliseconds(infer, pixels[: int(words[0])], int(words[1])), flush=True)


def milliseconds(infer: Infer, images: Any, passes: int) -> float:
    """Time of one pass, the mean of several."""
    start = time.perf_counter()
    for _ in range(passes):
        infer(images)
    return 1e3 * (time.perf_counter() - start) / passes


def _predictor(network: str, threads: int) -> Infer:
    from fcpts_ref import load_predictor

    return load_predictor(f"{network}.h5", threads=threads).logits


def _forward(network: str, threads: int) -> Infer:
    from fcpts_ref.engines.base import WeightCache
    from fcpts_ref.engines.make import make_engine
    from fcpts_ref.storage.network_files import read_network

    (found, _), cache = read_network(Path(f"{network}.h5")), WeightCache()
    engine = make_engine(found.graph, "numba", threads=threads)

    def infer(images: Any) -> Any:
        passed = engine.forward(
            found.parameters,
            found.buffers,
            {found.graph.input: images},
            training=False,
            sparse=True,
            cache=cache,
        )
        return passed.outputs[found.graph.output]

    return infer


def _onnxruntime(network: str, threads: int) -> Infer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        f"{network}.onnx", options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def _openvino(network: str, threads: int) -> Infer:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = openvino.Core().compile_model(f"{network}.onnx", "CPU", settings)
    return lambda images: model(images)[0]


def _deepsparse(network: str, threads: int) -> Infer:
    """Compile the model for each batch size, as DeepSparse's models have a fixed one."""
    import deepsparse

    models: dict[int, Any] = {}

    def infer(images: Any) -> Any:
        batch = len(images)
        if batch not in models:
            models[batch] = deepsparse.Engine(f"{network}.onnx", batch, threads)
        return models[batch].run([images])[0]

    return infer


MAKERS: dict[str, tuple[str, Callable[[str, int], Infer]]] = {
    "predictor": ("fcpts-ref", _predictor),
    "forward": ("fcpts-ref", _forward),
    "onnxruntime": ("onnxruntime", _onnxruntime),
    "openvino": ("openvino", _openvino),
    "deepsparse": ("deepsparse", _deepsparse),
}
"""By the engine's name: its package, and the function that makes it."""


if __name__ == "__main__":
    main(*sys.argv[1:])
