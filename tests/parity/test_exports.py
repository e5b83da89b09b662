"""Exports load into the architecture that they came from, with strict=True."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fcpts_ref.interchange.checkpoints import import_checkpoint
from fcpts_ref.interchange.importing import export_network, read_checkpoint

torch = pytest.importorskip("torch")

from parity.torch_networks import ResNet  # noqa: E402


def make_module(seed: int) -> Any:
    """A ResNet-8 with shortcuts of option B under torchvision's names, without normalisation."""
    torch.manual_seed(seed)
    module = ResNet(1, 10, (16, 32, 64), 3, "B")
    module.normalise = torch.nn.Identity()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
    return module.eval()


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_load_state_dict(ending: str, tmp_path: Path) -> None:
    torch.save(make_module(0).state_dict(), tmp_path / "a.pt")
    network = import_checkpoint(tmp_path / "a.pt", normalise="none").network
    weights = {name: network.parameters[name] for name in network.graph.prunable}
    masks = {name: np.abs(w) > np.median(np.abs(w)) for name, w in weights.items()}
    pruned = {name: np.where(masks[name], w, np.float32(0)) for name, w in weights.items()}
    network = replace(network, parameters={**network.parameters, **pruned}, masks=masks)
    path, extras = tmp_path / f"b.{ending}", tmp_path / f"c.{ending}"
    export_network(path, network, extras=extras)
    if ending == "pt":
        state = torch.load(path, weights_only=True)
    else:
        state = {name: torch.from_numpy(a) for name, a in read_checkpoint(path).items()}
    module = make_module(1)
    module.load_state_dict(state, strict=True)
    images = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    with torch.no_grad():
        theirs = module(torch.from_numpy(images)).numpy()
    assert np.allclose(network(images), theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    assert read_checkpoint(extras).keys() >= {f"{name}_mask" for name in masks}
    back = import_checkpoint(path, normalise="none", extras=extras).network
    assert all(np.array_equal(back.masks[name], mask) for name, mask in masks.items())
