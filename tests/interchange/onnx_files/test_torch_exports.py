"""Networks of torch.onnx.export: read, computed, pruned and written again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.engines.make import make_engine
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.graphs.network import Network, global_rate
from fcpts_ref.interchange.onnx.exporting import export_onnx
from fcpts_ref.interchange.onnx.importing import import_onnx
from fcpts_ref.storage.network_files import read_network, write_network
from interchange.onnx_files.exporters import export
from interchange.onnx_files.onnx_run import assert_same, check, run_onnx, run_ours
from interchange.onnx_files.torch_models import REAL, SMALL, make

OLD, NEW = (9, 11, 13, 17, 20), (18, 20, 23)
FAST = {(9, False), (14, False), (17, False)}  # the others are slow only in sum
FAST_NEW = ("resnet18", "vit")
# scaled_dot_product_attention, of nn.MultiheadAttention, has no form in older opsets.
OLDEST = {"vit": 14}


def is_fast(name: str, opset: int, dynamo: bool) -> bool:
    return (opset, dynamo) in FAST or (name in FAST_NEW and (opset, dynamo) == (18, True))


CASES = [
    pytest.param(
        name, opset, dynamo, marks=[] if is_fast(name, opset, dynamo) else pytest.mark.slow
    )
    for name in SMALL
    for opsets, dynamo in ((OLD, False), (NEW, True))
    for opset in sorted({max(opset, OLDEST.get(name, 9)) for opset in opsets})
]


def images_of(graph: Graph, count: int) -> Any:
    return np.random.default_rng(0).random((count, *graph.input_shape), np.float32)


def pruned(network: Network, rate: float = 0.8) -> Network:
    """With the smallest weights of every layer pruned, and masks."""
    weights = {name: network.parameters[name] for name in network.graph.prunable}
    masks = {n: np.abs(w) > np.quantile(np.abs(w), rate) for n, w in weights.items()}
    kept = {n: np.where(masks[n], w, np.float32(0)) for n, w in weights.items()}
    return replace(network, parameters={**network.parameters, **kept}, masks=masks)


@pytest.mark.parametrize("open_batch", [True, False])
@pytest.mark.parametrize(("name", "opset", "dynamo"), CASES)
def test_round_trip(name: str, opset: int, dynamo: bool, open_batch: bool, tmp_path: Path) -> None:
    module, side = make(SMALL, name)
    path, again = tmp_path / "a.onnx", tmp_path / "b.onnx"
    export(module, side, path, opset=opset, dynamo=dynamo, open_batch=open_batch)
    network = import_onnx(path, normalise="none").network
    images = images_of(network.graph, 3 if open_batch else 1)
    (expected,) = run_onnx(path, images)
    assert_same(network(images), expected)
    assert len(network.graph.prunable) == count_weights(module)
    assert_no_leftovers(name, network.graph)
    for sparse in (False, True):
        small = pruned(network)
        export_onnx(again, small, sparse=sparse)
        assert_same(run_onnx(again, images)[0], small(images))
    export_onnx(again, replace(small, graph=replace(small.graph, source=None)))
    check(again)
    assert_same(run_onnx(again, images)[0], small(images))


def count_weights(module: Any) -> int:
    """Matrices and convolutions: every parameter of two or more axes but embeddings."""
    names = [n for n, p in module.named_parameters() if p.ndim > 1]
    return len([n for n in names if "token" not in n and "embedding" not in n])


def assert_no_leftovers(name: str, graph: Graph) -> None:
    """Layers that exporters write as several operators are whole again."""
    found = Counter(node.operation for node in graph.nodes)
    if name in ("vit", "deit"):
        assert (found["attention"], found["layer_norm"], found["gelu"]) == (2, 5, 2)
        assert not {"matmul", "softmax", "divide", "mean", "subtract"} & found.keys()
    expected = {"mobilenetv3": "hard_swish", "efficientnet": "silu", "mobilenetv2": "relu6"}
    assert found[expected.get(name, "add")] > 0
    assert "flatten" not in found or name in ("vit", "deit")


@pytest.mark.parametrize("name", [pytest.param("resnet18", marks=pytest.mark.slow), "vit"])
def test_the_fast_engine_and_two_steps_of_fcpts(name: str, tmp_path: Path) -> None:
    module, side = make(SMALL, name)
    path = tmp_path / "a.onnx"
    export(module, side, path, opset=17, dynamo=False, open_batch=True)
    network = import_onnx(path, normalise="0.5/0.25").network
    write_network(tmp_path / "a.h5", network)
    network, _ = read_network(tmp_path / "a.h5")
    images = images_of(network.graph, 4)
    engine = make_engine(network.graph, "numba")
    inputs = {network.graph.input: images}
    passed = engine.forward(network.parameters, network.buffers, inputs, training=False)
    (expected,) = run_onnx(path, (images - np.float32(0.5)) / np.float32(0.25))
    assert_same(passed.outputs["logits"], expected)
    import fcpts_ref

    result = fcpts_ref.sparsify(network, images, target=0.5, epochs=1, batch_size=2)
    assert global_rate(result.network) == pytest.approx(0.5, abs=0.01)
    (ours,) = run_ours(result.network, images)
    for normalisation, given in ((True, images), (False, (images - 0.5) / np.float32(0.25))):
        out = tmp_path / "b.onnx"
        export_onnx(out, result.network, normalisation=normalisation)
        check(out)
        assert_same(run_onnx(out, given)[0], ours)


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", REAL)
def test_real_sizes(name: str, dynamo: bool, tmp_path: Path) -> None:
    module, side = make(REAL, name)
    path, again = tmp_path / "a.onnx", tmp_path / "b.onnx"
    export(module, side, path, opset=18 if dynamo else 17, dynamo=dynamo, open_batch=not dynamo)
    network = import_onnx(path).network
    images = images_of(network.graph, 1)
    mean, std = (network.buffers[f"normalise.{s}"][:, None, None] for s in ("mean", "std"))
    assert_same(network(images), run_onnx(path, (images - mean) / std)[0])
    small = pruned(network)
    export_onnx(again, small, normalisation=True)
    check(again)
    assert_same(run_onnx(again, images)[0], small(images))
