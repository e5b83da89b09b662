"""The names of torchvision and timm as these packages write them, where they are installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_networks import make_network
from torchvision_import import import_torchvision

from fcpts_ref.interchange.checkpoints import import_checkpoint
from fcpts_ref.interchange.importing import export_network

torch = pytest.importorskip("torch")
models = import_torchvision().models
timm = pytest.importorskip("timm")

TORCHVISION = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "resnet101": "resnet101",
    "mobilenet_v2": "mobilenet_v2",
    "regnet_x_400mf_torchvision": "regnet_x_400mf",
}
TIMM = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v2 of width 1.4": "mobilenetv2_140",
    "regnet_x_200mf": "regnetx_002",
    "regnet_x_400mf": "regnetx_004",
    "regnet_x_400mf_torchvision": "regnetx_004_tv",
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "efficientnet_lite0_symmetric": "efficientnet_lite0",
}
SIDE = 64


def make(source: str, theirs: str) -> Any:
    if source == "timm":
        return timm.create_model(theirs, num_classes=6)
    return getattr(models, theirs)(num_classes=6)


@pytest.mark.parametrize(
    ("source", "ours", "theirs"),
    [("torchvision", *pair) for pair in TORCHVISION.items()]
    + [("timm", *pair) for pair in TIMM.items()],
)
def test_there_and_back(tmp_path, source, ours, theirs):
    """Recognised, the same outputs, and loaded back by strict names."""
    module = make(source, theirs).eval()
    torch.save(module.state_dict(), tmp_path / "a.pth")
    imported = import_checkpoint(
        tmp_path / "a.pth", arch=ours.split()[0], input_shape=(3, SIDE, SIDE), normalise="none"
    )
    assert imported.architecture.startswith(f"{ours} under the names of ")
    assert source in imported.architecture
    network = make_network(imported.network.graph)  # statistics that say more than a new module's
    network.buffers["normalise.mean"][:], network.buffers["normalise.std"][:] = 0, 1
    export_network(tmp_path / "b.pth", network)
    state = torch.load(tmp_path / "b.pth", weights_only=True)
    module = module.double()
    module.load_state_dict(state, strict=True)
    images = np.random.default_rng(0).random((2, 3, SIDE, SIDE))
    with torch.no_grad():
        want = module(torch.from_numpy(images)).numpy()
    assert np.abs(network(images) - want).max() <= 1e-10 * np.abs(want).max()
