"""Checkpoints of torchvision's and timm's transformers: recognised, and the same logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comparing import assert_close, assert_same_bits
from torchvision_import import import_torchvision

from fcpts_ref.architectures.registry import architecture
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.graphs.projections import split_projections
from fcpts_ref.interchange.checkpoints import import_checkpoint
from fcpts_ref.interchange.importing import export_network, read_checkpoint

torch = pytest.importorskip("torch")


def check(module: Any, path: Any, size: int, normalise: str) -> Any:
    """Save a module with random weights, import the file, and compare logits."""
    module = module.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.05 * noise)
    torch.save(module.state_dict(), path)
    imported = import_checkpoint(path, normalise="none")
    assert imported.report.complete
    images = np.random.default_rng(0).random((2, 3, size, size))
    with torch.no_grad():
        want = module(torch.from_numpy(images)).numpy()
    assert_close(imported.network(images), want, 1e-10, "logits")
    assert import_checkpoint(path).normalise == normalise
    return imported


@pytest.mark.parametrize(("name", "patch", "size"), [("vit_b_16", 16, 32), ("vit_b_32", 32, 64)])
def test_torchvision(name, patch, size, tmp_path):
    models = import_torchvision().models.vision_transformer
    module = models.VisionTransformer(size, patch, 12, 12, 768, 3072, num_classes=5)
    imported = check(module, tmp_path / "vit.pt", size, "imagenet")
    assert imported.architecture == f"{name} under the names of torchvision"


@pytest.mark.parametrize(("name", "width", "heads"), [("deit_tiny", 192, 3), ("vit_b_16", 768, 12)])
def test_timm(name, width, heads, tmp_path):
    import_torchvision()  # which timm imports
    models = pytest.importorskip("timm.models.vision_transformer")
    module = models.VisionTransformer(
        img_size=32, patch_size=16, embed_dim=width, depth=12, num_heads=heads, num_classes=5
    )
    normalise = "imagenet" if name == "deit_tiny" else "half"
    imported = check(module, tmp_path / "vit.pt", 32, normalise)
    assert imported.architecture.startswith(f"{name} under the names of timm")
    assert "blocks.11.attn.qkv.weight" in imported.network.graph.prunable


@pytest.mark.parametrize("projections", ["joint", "separate"])
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_exports_and_back(projections, ending, tmp_path):
    """The names and shapes of torchvision's module, whether three layers were pruned or one."""
    graph = architecture("deit_tiny", classes=5, input_shape=(3, 32, 32))
    network = initialise(graph, np.random.default_rng(0), dtype=np.float64)
    given = split_projections(network) if projections == "separate" else network
    export_network(tmp_path / f"vit{ending}", given)
    state = read_checkpoint(tmp_path / f"vit{ending}")
    assert state["class_token"].shape == (1, 1, 192)
    assert state["encoder.pos_embedding"].shape == (1, 5, 192)
    name = "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"
    assert state[name].shape == (3 * 192, 192)
    imported = import_checkpoint(tmp_path / f"vit{ending}", normalise="none")
    assert imported.network.graph == graph
    for key, array in network.parameters.items():
        assert_same_bits(imported.network.parameters[key], array, key)


def test_exports_fit_torchvision(tmp_path):
    models = import_torchvision().models.vision_transformer
    graph = architecture("deit_tiny", classes=5, input_shape=(3, 32, 32))
    export_network(tmp_path / "vit.pt", initialise(graph, np.random.default_rng(0)))
    module = models.VisionTransformer(32, 16, 12, 3, 192, 768, num_classes=5)
    module.load_state_dict(torch.load(tmp_path / "vit.pt", weights_only=True), strict=True)
