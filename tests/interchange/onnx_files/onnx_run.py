"""Running ONNX files in onnxruntime, and comparing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.graphs import execution
from fcpts_ref.graphs.network import Network

onnx = pytest.importorskip("onnx")
RELATIVE = 1e-5  # of the largest logit


def run_onnx(path: Path, inputs: Any) -> list[Any]:
    """The outputs of a file in onnxruntime, on one thread."""
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    if not isinstance(inputs, dict):
        inputs = {names[0]: inputs}
    return list(session.run(None, inputs))


def run_ours(network: Network, inputs: Any) -> list[Any]:
    """The outputs of a network in NumPy."""
    if not isinstance(inputs, dict):
        inputs = {network.graph.input: inputs}
    passed = execution.forward(
        network.graph, network.parameters, network.buffers, inputs, training=False
    )
    return list(passed.outputs.values())


def assert_same(found: Any, expected: Any, relative: float = RELATIVE) -> None:
    """Equal shapes, and values that differ by at most ``relative`` times the largest."""
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert scale > 0
    assert np.abs(found - expected).max() <= relative * scale


def check(path: Path) -> None:
    """onnx.checker's complete check, with shapes."""
    onnx.checker.check_model(str(path), full_check=True)
