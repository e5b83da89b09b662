"""Every operation of ours as ONNX: onnxruntime computes the same, and it comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs.test_operations import EXAMPLES, graph_of, values_of
from small_networks import make_network

from fcpts_ref.graphs.operations import OPERATIONS
from fcpts_ref.interchange.onnx.export.rows import ROWS
from fcpts_ref.interchange.onnx.exporting import export_onnx
from fcpts_ref.interchange.onnx.importing import import_onnx
from interchange.onnx_files.onnx_run import assert_same, check, run_onnx, run_ours


def test_every_operation_has_a_row() -> None:
    assert ROWS.keys() == OPERATIONS.keys()


NOTHING = {"dropout", "concat: one value"}
"""Examples that compute nothing in inference: no network is left."""


@pytest.mark.parametrize("example", sorted(EXAMPLES.keys() - NOTHING))
def test_there_and_back(example: str, tmp_path: Path) -> None:
    network = make_network(graph_of(example), dtype=np.float32)
    inputs = {name: a.astype(np.float32) for name, a in values_of(network.graph).items()}
    path = tmp_path / "a.onnx"
    export_onnx(path, network)
    check(path)
    (expected,) = run_ours(network, inputs)
    (found,) = run_onnx(path, inputs)
    assert_same(found, expected)
    back = import_onnx(path).network
    names = list(back.graph.inputs)
    (again,) = run_ours(back, dict(zip(names, inputs.values(), strict=True)))
    assert_same(again, expected)
    assert len(back.graph.nodes) <= 3
    assert back.parameters.keys() == network.parameters.keys()
