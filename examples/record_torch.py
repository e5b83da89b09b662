"""Record a trace of a PyTorch module by hooks, and compare it with the reference.

    fcpts-ref trace --steps 0 --out reference.h5
    python examples/record_torch.py reference.h5 mine.h5
    fcpts-ref diverge mine.h5 reference.h5

The modules have the names of the graph's nodes, so a forward hook on each records all activations;
hooks on the tensors record their gradients.  The weights are the masked ones of the reference:
what is checked is the network's forward and backward pass.
"""

from __future__ import annotations

import json
import sys

import h5py
import torch
from torch import nn
from torch.nn import functional as F

from fcpts_ref.oracle.record import record

torch.set_default_dtype(torch.float64)


class Block(nn.Module):
    """Two convolutions with batch norm, added to the shortcut; names as in the checkpoints."""

    def __init__(self, width: int, new_width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, new_width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(new_width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(new_width, new_width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(new_width)
        self.relu2 = nn.ReLU()
        self.stride, self.more = stride, new_width - width

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.more // 2
        return self.relu2(y + F.pad(x, (0, 0, 0, 0, before, self.more - before)))


class ResNet8(nn.Module):
    """The embedded network, in training mode."""

    def __init__(self, mean, std, classes: int, widths=(16, 32, 64)) -> None:
        super().__init__()
        self.mean, self.std = mean[:, None, None], std[:, None, None]
        self.conv1 = nn.Conv2d(len(mean), widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(Block(widths[0], widths[0], 1))
        self.layer2 = nn.Sequential(Block(widths[0], widths[1], 2))
        self.layer3 = nn.Sequential(Block(widths[1], widths[2], 2))
        self.linear = nn.Linear(widths[2], classes)

    def forward(self, images):
        x = self.relu(self.bn1(self.conv1((images - self.mean) / self.std)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def watch(model: nn.Module, see) -> None:
    """Hook every module: its output is an activation, the gradient of that a dactivation."""
    for name, module in model.named_modules():
        if next(module.children(), None) is None:  # a layer, not a container

            def hook(module, inputs, output, name=name):
                see(f"activation/{name}", output)
                output.register_hook(lambda gradient: see(f"dactivation/{name}", gradient))

            module.register_forward_hook(hook)


def main(reference: str, mine: str) -> None:
    """Repeat the forward and backward pass of the recorded steps."""
    with h5py.File(reference) as file, record(mine) as see:
        notes = json.loads(file["notes"][()].tobytes())
        T = notes["conventions"]["temperature"]
        for number, step in file["steps"].items():
            see.next_step(int(number))
            inputs, found = step["inputs"], step["quantities"]
            state = {n: torch.tensor(a[()]) for n, a in inputs["parameters"].items()}
            state |= {n: torch.tensor(a[()]) for n, a in inputs["buffers"].items()}
            mean, std = (state.pop(f"normalise.{n}") for n in ("mean", "std"))
            state |= {n: torch.tensor(a[()]) for n, a in found["sparse_weight"].items()}
            model = ResNet8(mean, std, len(state["linear.bias"]))
            model.load_state_dict(state, strict=False)
            watch(model.train(), see)
            logits = model(torch.tensor(inputs["images"][()]))
            target = F.softmax(torch.tensor(found["dense_logits"][()]) / T, 1)
            log_q = F.log_softmax(logits / T, 1)
            loss = T * T * F.kl_div(log_q, target, reduction="batchmean")
            loss.backward()
            see("sparse_logits", logits)
            see("reconstruction_loss", loss)
            for name in found["sparse_weight"]:
                see(f"dsparse_weight/{name}", model.get_parameter(name).grad)
            for name, buffer in model.named_buffers():
                if not name.endswith("num_batches_tracked"):
                    see(f"new_buffer/{name}", buffer)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    main(*sys.argv[1:])
