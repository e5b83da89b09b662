"""The architectures as PyTorch modules, written from their papers and not from our graphs.

Names are those of one of the layouts that we read, so that weights load without a table.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from parity.torch_networks import Normalise

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


def conv_bn(c: int, k: int, size: int, stride: int = 1, groups: int = 1, eps: float = 1e-5) -> Any:
    conv = nn.Conv2d(c, k, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(k, eps=eps))


def scaled(width: float, channels: int) -> int:
    """Round to multiples of 8, but never to less than nine tenths."""
    exact = width * channels
    lower = max(8, 8 * math.floor(exact / 8 + 0.5))
    return lower if lower >= 0.9 * exact else lower + 8


BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Residual(nn.Module):
    def __init__(self, c: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        layers = [(c, width, 3, stride), (width, width, 3, 1)]
        if bottleneck:
            layers = [(c, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)]
        self.count, k = len(layers), layers[-1][1]
        for i, (into, out, size, step) in enumerate(layers, start=1):
            setattr(self, f"conv{i}", nn.Conv2d(into, out, size, step, size // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(out))
        self.downsample = conv_bn(c, k, 1, stride) if stride != 1 or c != k else nn.Identity()

    def forward(self, x: Any) -> Any:
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.count:
                y = F.relu(y)
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """torchvision's names; with ``small`` the stem for CIFAR."""

    def __init__(self, depth: int, classes: int, width: float, small: bool = False) -> None:
        super().__init__()
        self.small, widths = small, [round(width * w) for w in (64, 128, 256, 512)]
        self.normalise = Normalise(3)
        size, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(3, widths[0], size, stride, size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        c = widths[0]
        for stage, (count, w) in enumerate(zip(BLOCKS[depth], widths, strict=True), start=1):
            blocks = []
            for i in range(count):
                stride = 2 if i == 0 and stage > 1 else 1
                blocks.append(Residual(c, w, stride, depth >= 50))
                c = 4 * w if depth >= 50 else w
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(c, classes)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.bn1(self.conv1(self.normalise(x))))
        if not self.small:
            x = F.max_pool2d(x, 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


class VGG(nn.Module):
    """torchvision's names, with linear layers of any width."""

    def __init__(self, classes: int, width: float, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.normalise = Normalise(3)
        layers: list[Any] = []
        c = 3
        for k in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
            if k == 0:
                layers.append(nn.MaxPool2d(2))
                continue
            k = round(width * k)
            layers += [nn.Conv2d(c, k, 3, padding=1), nn.BatchNorm2d(k), nn.ReLU()]
            c = k
        self.features = nn.Sequential(*layers)
        head: list[Any] = []
        for k in hidden:
            head += [nn.Linear(c, k), nn.ReLU(), nn.Dropout(0.0)]
            c = k
        head.append(nn.Linear(c, classes))
        self.classifier = nn.Sequential(*head) if hidden else head[0]

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(self.normalise(x)).flatten(1))


class MobileNetV1(nn.Module):
    """The names of marvis/pytorch-mobilenet."""

    def __init__(self, classes: int, width: float, stride: int, activation: Any) -> None:
        super().__init__()
        self.normalise = Normalise(3)
        c = scaled(width, 32)
        blocks = [nn.Sequential(*conv_bn(3, c, 3, stride), activation())]
        for k, step in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)) + (
            ((512, 1),) * 5 + ((1024, 2), (1024, 1))
        ):
            k = scaled(width, k)
            depthwise, pointwise = conv_bn(c, c, 3, step, c), conv_bn(c, k, 1)
            blocks.append(nn.Sequential(*depthwise, activation(), *pointwise, activation()))
            c = k
        self.model = nn.Sequential(*blocks)
        self.fc = nn.Linear(c, classes)

    def forward(self, x: Any) -> Any:
        return self.fc(self.model(self.normalise(x)).mean((2, 3)))


class Inverted(nn.Module):
    """torchvision's names."""

    def __init__(self, c: int, k: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.same, inner, layers = stride == 1 and c == k, c * expansion, []
        if expansion > 1:
            layers.append(nn.Sequential(*conv_bn(c, inner, 1), nn.ReLU6()))
        layers.append(nn.Sequential(*conv_bn(inner, inner, 3, stride, inner), nn.ReLU6()))
        self.conv = nn.Sequential(*layers, *conv_bn(inner, k, 1))

    def forward(self, x: Any) -> Any:
        return x + self.conv(x) if self.same else self.conv(x)


class MobileNetV2(nn.Module):
    """torchvision's names; with ``small`` the strides for CIFAR."""

    def __init__(self, classes: int, width: float, small: bool = False) -> None:
        super().__init__()
        self.normalise = Normalise(3)
        c = scaled(width, 32)
        layers = [nn.Sequential(*conv_bn(3, c, 3, 1 if small else 2), nn.ReLU6())]
        for t, k, n, s in (
            (1, 16, 1, 1), (6, 24, 2, 1 if small else 2), (6, 32, 3, 2), (6, 64, 4, 2),
            (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(n):
                layers.append(Inverted(c, scaled(width, k), s if i == 0 else 1, t))
                c = scaled(width, k)
        head = max(1280, scaled(width, 1280))
        layers.append(nn.Sequential(*conv_bn(c, head, 1), nn.ReLU6()))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(head, classes))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(self.normalise(x)).mean((2, 3)))


class RegNetBlock(nn.Module):
    def __init__(self, c: int, k: int, group: int, stride: int) -> None:
        super().__init__()
        self.project = stride != 1 or c != k
        if self.project:
            self.proj, self.bn = conv_bn(c, k, 1, stride)
        self.f = nn.Module()
        self.f.a, self.f.a_bn = conv_bn(c, k, 1)
        self.f.b, self.f.b_bn = conv_bn(k, k, 3, stride, k // group)
        self.f.c, self.f.c_bn = conv_bn(k, k, 1)

    def forward(self, x: Any) -> Any:
        f = self.f
        y = F.relu(f.b_bn(f.b(F.relu(f.a_bn(f.a(x))))))
        return F.relu(f.c_bn(f.c(y)) + (self.bn(self.proj(x)) if self.project else x))


def regnet_widths(depth: int, w0: int, wa: float, wm: float, group: int, up: bool) -> Any:
    """Widths and blocks of the stages, by Equations 2 to 4 of the paper, in whole groups.

    up: a half is rounded up, as in torchvision; otherwise to even, as in pycls.
    """
    widths = []
    for j in range(depth):
        power = round(math.log((w0 + wa * j) / w0) / math.log(wm))
        widths.append(8 * round(w0 * wm**power / 8))
    whole = {w: math.floor(w / group + 0.5) if up else round(w / group) for w in widths}
    return [(group * whole[w], widths.count(w)) for w in sorted(set(widths))]


class RegNet(nn.Module):
    """The names of pycls."""

    def __init__(self, classes: int, stages: Any, group: int, order: int = 1) -> None:
        super().__init__()
        self.normalise, self.order = Normalise(3), order
        self.stem = nn.Module()
        self.stem.conv, self.stem.bn = conv_bn(3, 32, 3, 2)
        c = 32
        for stage, (k, count) in enumerate(stages, start=1):
            blocks = nn.Module()
            for i in range(1, count + 1):
                setattr(blocks, f"b{i}", RegNetBlock(c, k, group, 2 if i == 1 else 1))
                c = k
            setattr(self, f"s{stage}", blocks)
        self.head = nn.Module()
        self.head.fc = nn.Linear(c, classes)

    def forward(self, x: Any) -> Any:
        x = self.normalise(x)
        if self.order == -1:
            x = x.flip(1)
        x = F.relu(self.stem.bn(self.stem.conv(x)))
        for stage in range(1, 5):
            for block in getattr(self, f"s{stage}").children():
                x = block(x)
        return self.head.fc(x.mean((2, 3)))


class Same(nn.Conv2d):
    """A convolution with TensorFlow's padding."""

    def forward(self, x: Any) -> Any:
        pads = []
        for side in (3, 2):  # the last axis first, as F.pad wants
            n, k, s = x.shape[side], self.kernel_size[side - 2], self.stride[side - 2]
            total = max(0, (math.ceil(n / s) - 1) * s + k - n)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, groups=self.groups)


class LiteBlock(nn.Module):
    def __init__(self, c: int, k: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner, self.expansion, self.same = c * expansion, expansion, stride == 1 and c == k
        if expansion > 1:
            self._expand_conv = nn.Conv2d(c, inner, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inner, eps=1e-3)
        self._depthwise_conv = Same(inner, inner, size, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, eps=1e-3)
        self._project_conv = nn.Conv2d(inner, k, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(k, eps=1e-3)

    def forward(self, x: Any) -> Any:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expansion > 1 else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.same else y


class EfficientNetLite0(nn.Module):
    """The names of efficientnet-lite-pytorch."""

    def __init__(self, classes: int, width: float) -> None:
        super().__init__()
        self.normalise = Normalise(3)
        self._conv_stem = Same(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, c = [], 32
        for size, t, k, n, s in (
            (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2),
            (5, 6, 112, 3, 1), (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(n):
                blocks.append(LiteBlock(c, scaled(width, k), size, s if i == 0 else 1, t))
                c = scaled(width, k)
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(c, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x: Any) -> Any:
        x = F.relu6(self._bn0(self._conv_stem(self.normalise(x))))
        x = F.relu6(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(x.mean((2, 3)))
