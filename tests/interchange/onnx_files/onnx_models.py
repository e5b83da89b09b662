"""ONNX models made in memory by the format's own helpers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


def node(kind: str, inputs: Sequence[str], output: str, **settings: Any) -> Any:
    return helper.make_node(kind, list(inputs), [output], output, **settings)


def model(
    nodes: Sequence[Any],
    arrays: Mapping[str, Any] | None = None,
    *,
    shape: Sequence[Any] = ("N", 3, 8, 8),
    opset: int = 17,
    output: str = "y",
) -> Any:
    """A model that reads "x" and returns ``output``."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (arrays or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def linear_model(**settings: Any) -> Any:
    """Flatten and Gemm: 3 x 8 x 8 to 5 logits."""
    weight = np.random.default_rng(0).standard_normal((5, 192)).astype(np.float32)
    nodes = [
        node("Flatten", ["x"], "f"),
        node("Gemm", ["f", "fc.weight", "fc.bias"], "y", transB=1),
    ]
    return model(nodes, {"fc.weight": weight, "fc.bias": np.ones(5, np.float32)}, **settings)


def save(proto: Any, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path
