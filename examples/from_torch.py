"""Prune a PyTorch module of one's own to 90 %, and take the weights back.

    python examples/from_torch.py FOLDER

The module goes out as ONNX, which also says what it computes; the pruned network comes back as ONNX
for onnxruntime and, by name, into the module.  Needs torch, onnx, onnxscript and onnxruntime.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from fcpts_ref import sparsify
from fcpts_ref.data.dataset import read_dataset
from fcpts_ref.interchange.onnx.exporting import export_onnx
from fcpts_ref.interchange.onnx.importing import import_onnx
from fcpts_ref.resources import resource_path

TARGET = 0.9


class Mine(nn.Module):
    """Two convolutions with a shortcut; it reads images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32 * 16, 10)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)) + x)
        return self.fc(torch.flatten(nn.functional.max_pool2d(x, 2), 1))


def train(module: Mine, images: Any, labels: Any, epochs: int = 6) -> None:
    """Train for some seconds; your own module is trained already."""
    optimiser = torch.optim.AdamW(module.parameters(), 3e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(images[chosen]), labels[chosen]).backward()
            optimiser.step()


def load_back(module: Mine, weights: dict[str, Any]) -> None:
    """Put the pruned weights and everything else that was tuned into the module, by name."""
    state = module.state_dict()
    found = {name: torch.from_numpy(array) for name, array in weights.items() if name in state}
    missing = {name for name in state if not name.endswith("num_batches_tracked")} - set(found)
    assert not missing, f"the exporter renamed {missing}: load the ONNX file instead"
    module.load_state_dict({**state, **found})


def main(folder: Path) -> float:
    """Export, prune, take back, compare; return the largest difference of the logits."""
    torch.manual_seed(0)
    digits = read_dataset(resource_path("digits.h5"))
    images = digits.as_floats(digits.train.images)
    test, labels = digits.as_floats(digits.test.images), digits.test.labels
    module = Mine()
    train(module, torch.from_numpy(images), torch.from_numpy(digits.train.labels))
    module.eval()

    def accuracy(logits: Any) -> float:
        return float((logits.argmax(1) == labels).mean())

    with torch.no_grad():
        dense = module(torch.from_numpy(test)).numpy()

    # PRESERVE keeps batch norm apart from the convolutions, and with it the names of all arrays.
    torch.onnx.export(
        module,
        (torch.from_numpy(test[:2]),),
        str(folder / "dense.onnx"),
        input_names=["images"],
        output_names=["logits"],
        dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
        training=torch.onnx.TrainingMode.PRESERVE,
        dynamo=False,
    )

    network = import_onnx(folder / "dense.onnx", normalise="none").network
    result = sparsify(network, images, target=TARGET, epochs=2)
    export_onnx(folder / "sparse.onnx", result.network)

    session = onnxruntime.InferenceSession(str(folder / "sparse.onnx"))
    sparse = np.asarray(session.run(None, {"images": test})[0])
    load_back(module, {**result.network.parameters, **result.network.buffers})
    with torch.no_grad():
        again = module(torch.from_numpy(test)).numpy()
    difference = float(np.abs(sparse - again).max())
    print(f"dense:  {accuracy(dense):.2%} of the test images are right")
    print(f"sparse: {accuracy(sparse):.2%}, with {TARGET:.0%} of the weights pruned")
    print(f"onnxruntime and PyTorch differ by {difference:.1e} in the logits at most")
    return difference


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    main(folder)
