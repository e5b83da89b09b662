"""The detectors as PyTorch modules, written from their description and not from our graphs.

Names are those of qfgaohao/pytorch-ssd.
"""

from __future__ import annotations

from typing import Any

import pytest

from parity.torch_architectures import scaled
from parity.torch_networks import Normalise

torch = pytest.importorskip("torch")
nn = torch.nn


def separable(c: int, k: int, stride: int, activation: Any) -> list[Any]:
    """Depthwise and pointwise, each with batch norm; the last activation is left to the caller."""
    return [
        nn.Conv2d(c, c, 3, stride, 1, groups=c, bias=False),
        nn.BatchNorm2d(c),
        activation(),
        nn.Conv2d(c, k, 1, bias=False),
        nn.BatchNorm2d(k),
    ]


def stem(c: int, k: int, size: int, stride: int, activation: Any) -> Any:
    conv = nn.Conv2d(c, k, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(k), activation())


class Inverted(nn.Module):
    def __init__(self, c: int, hidden: int, k: int, stride: int, expand: bool) -> None:
        super().__init__()
        first = list(stem(c, hidden, 1, 1, nn.ReLU6)) if expand else []
        self.conv = nn.Sequential(*first, *separable(hidden, k, stride, nn.ReLU6))
        self.skip = stride == 1 and c == k

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.skip else self.conv(x)


class SSD(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.normalise = classes, Normalise(3)

    def forward(self, x: Any) -> tuple[Any, Any]:
        sources = self.sources(self.normalise(x))
        joined = []
        for headers, length in (
            (self.classification_headers, self.classes),
            (self.regression_headers, 4),
        ):
            maps = [head(s).permute(0, 2, 3, 1) for head, s in zip(headers, sources, strict=True)]
            joined.append(torch.cat([m.reshape(len(m), -1, length) for m in maps], 1))
        return joined[0], joined[1]


class MobileNetV1SSD(SSD):
    def __init__(self, classes: int, width: float) -> None:
        super().__init__(classes)
        c = scaled(width, 32)
        layers = [stem(3, c, 3, 2, nn.ReLU)]
        plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
        for k, stride in [*plan, (1024, 2), (1024, 1)]:
            layers.append(
                nn.Sequential(*separable(c, scaled(width, k), stride, nn.ReLU), nn.ReLU())
            )
            c = scaled(width, k)
        self.base_net = nn.Sequential(*layers)
        into, extras = [scaled(width, 512), c], []
        for inner, k in ((256, 512), (128, 256), (128, 256), (128, 256)):
            inner, k = scaled(width, inner), scaled(width, k)
            convs = nn.Conv2d(c, inner, 1), nn.ReLU(), nn.Conv2d(inner, k, 3, 2, 1), nn.ReLU()
            extras.append(nn.Sequential(*convs))
            into.append(c := k)
        self.extras = nn.ModuleList(extras)
        for kind, length in (("classification_headers", classes), ("regression_headers", 4)):
            heads = [nn.Conv2d(channels, 6 * length, 3, padding=1) for channels in into]
            setattr(self, kind, nn.ModuleList(heads))

    def sources(self, x: Any) -> list[Any]:
        found = [self.base_net[:12](x)]
        found.append(self.base_net[12:](found[0]))
        for extra in self.extras:
            found.append(extra(found[-1]))
        return found


class MobileNetV2SSDLite(SSD):
    def __init__(self, classes: int, width: float) -> None:
        super().__init__(classes)
        c = scaled(width, 32)
        layers = [stem(3, c, 3, 2, nn.ReLU6)]
        for t, k, n, s in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
            (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(n):
                layers.append(Inverted(c, t * c, scaled(width, k), 1 if i else s, t > 1))
                c = scaled(width, k)
        layers.append(stem(c, scaled(width, 1280), 1, 1, nn.ReLU6))
        self.base_net = nn.Sequential(*layers)
        into = [6 * scaled(width, 96), c := scaled(width, 1280)]
        extras = []
        for hidden, k in ((256, 512), (128, 256), (128, 256), (64, 64)):
            extras.append(Inverted(c, scaled(width, hidden), scaled(width, k), 2, True))
            into.append(c := scaled(width, k))
        self.extras = nn.ModuleList(extras)
        for kind, length in (("classification_headers", classes), ("regression_headers", 4)):
            heads = [
                nn.Sequential(
                    nn.Conv2d(k, k, 3, padding=1, groups=k),
                    nn.BatchNorm2d(k),
                    nn.ReLU6(),
                    nn.Conv2d(k, 6 * length, 1),
                )
                for k in into[:5]
            ]
            heads.append(nn.Conv2d(into[5], 6 * length, 1))
            setattr(self, kind, nn.ModuleList(heads))

    def sources(self, x: Any) -> list[Any]:
        x = self.base_net[:14](x)
        block = self.base_net[14].conv
        found = [block[:3](x)]
        found.append(self.base_net[15:](block[3:](found[0])))
        for extra in self.extras:
            found.append(extra(found[-1]))
        return found
