"""The networks as PyTorch modules, written from their papers and not from our graphs."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class Normalise(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def forward(self, x: Any) -> Any:
        return (x - self.mean[:, None, None]) / self.std[:, None, None]


class Block(nn.Module):
    def __init__(self, width: int, new: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, new, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(new)
        self.conv2 = nn.Conv2d(new, new, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(new)
        self.extra = new - width
        self.stride = stride
        if option == "B" and (stride != 1 or self.extra):
            self.downsample = nn.Sequential(
                nn.Conv2d(width, new, 1, stride, bias=False), nn.BatchNorm2d(new)
            )
        else:
            self.downsample = self.option_a

    def option_a(self, x: Any) -> Any:
        front = self.extra // 2
        pad = (0, 0, 0, 0, front, self.extra - front)
        return F.pad(x[:, :, :: self.stride, :: self.stride], pad)

    def forward(self, x: Any) -> Any:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(
        self, blocks: int, classes: int, widths: tuple[int, ...], channels: int, option: str
    ) -> None:
        super().__init__()
        self.normalise = Normalise(channels)
        self.conv1 = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        width = widths[0]
        for stage, new in enumerate(widths, start=1):
            layer = []
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                layer.append(Block(width, new, stride, option))
                width = new
            setattr(self, f"layer{stage}", nn.Sequential(*layer))
        self.last = "linear" if option == "A" else "fc"
        setattr(self, self.last, nn.Linear(width, classes))

    def forward(self, x: Any) -> Any:
        x = F.relu(self.bn1(self.conv1(self.normalise(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return getattr(self, self.last)(x.mean(dim=(2, 3)))


class Plain(nn.Module):
    def __init__(
        self, classes: int, widths: tuple[int, ...], channels: int, size: int, batch_norm: bool
    ) -> None:
        super().__init__()
        self.normalise = Normalise(channels)
        self.depth, self.batch_norm = len(widths), batch_norm
        for i, width in enumerate(widths, start=1):
            setattr(self, f"conv{i}", nn.Conv2d(channels, width, 3, 1, 1, bias=not batch_norm))
            if batch_norm:
                setattr(self, f"bn{i}", nn.BatchNorm2d(width))
            channels, size = width, size // 2
        self.linear = nn.Linear(channels * size * size, classes)

    def forward(self, x: Any) -> Any:
        x = self.normalise(x)
        for i in range(1, self.depth + 1):
            x = getattr(self, f"conv{i}")(x)
            if self.batch_norm:
                x = getattr(self, f"bn{i}")(x)
            x = F.max_pool2d(F.relu(x), 2)
        return self.linear(x.flatten(1))


def load(module: Any, network: Any) -> Any:
    """Load our network's parameters and buffers into a module, in float64, by the same names."""
    module = module.double()
    state = {**network.parameters, **network.buffers}
    missing, unexpected = module.load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in state.items()}, strict=False
    )
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return module


def statistics(module: Any) -> dict[str, Any]:
    """Return running means and variances by name."""
    return {n: b.numpy() for n, b in module.named_buffers() if "running_" in n}
