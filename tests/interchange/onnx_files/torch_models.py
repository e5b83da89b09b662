"""The architectures of the paper in PyTorch, as torchvision and timm write them, and small ones."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


def conv_bn(c: int, k: int, size: int, stride: int = 1, groups: int = 1, act: Any = None) -> Any:
    layers = [
        nn.Conv2d(c, k, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(k),
    ]
    return nn.Sequential(*layers, *([act] if act is not None else []))


class Bottleneck(nn.Module):
    """ResNet's block of three convolutions, or of two 3x3 ones; RegNetX's with groups."""

    def __init__(self, c: int, k: int, stride: int, mode: str, group: int = 1) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        if mode == "basic":
            self.body = nn.Sequential(
                conv_bn(c, k, 3, stride, act=nn.ReLU(inplace=True)), conv_bn(k, k, 3)
            )
        else:
            inner = k // 4 if mode == "bottleneck" else k
            self.body = nn.Sequential(
                conv_bn(c, inner, 1, act=nn.ReLU(inplace=True)),
                conv_bn(inner, inner, 3, stride, inner // group if group > 1 else 1, nn.ReLU()),
                conv_bn(inner, k, 1),
            )
        self.downsample = conv_bn(c, k, 1, stride) if stride != 1 or c != k else None

    def forward(self, x: Any) -> Any:
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.body(x) + shortcut)


class ResNet(nn.Module):
    def __init__(
        self, mode: str, depths: Any, widths: Any, classes: int, stem: int = 7, group: int = 1
    ) -> None:
        super().__init__()
        c = widths[0] if mode == "basic" else 8 if mode == "bottleneck" else 32
        self.stem = conv_bn(3, c, stem, 2, act=nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1) if stem == 7 else nn.Identity()
        blocks = []
        for stage, (depth, k) in enumerate(zip(depths, widths, strict=True)):
            for i in range(depth):
                stride = 2 if i == 0 and (stage > 0 or stem == 3) else 1
                blocks.append(Bottleneck(c, k, stride, mode, group))
                c = k
        self.blocks = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(c, classes)

    def forward(self, x: Any) -> Any:
        x = self.avgpool(self.blocks(self.pool(self.stem(x))))
        return self.fc(torch.flatten(x, 1))


class SqueezeExcite(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(c, 4, 1), nn.Conv2d(4, c, 1)

    def forward(self, x: Any) -> Any:
        s = F.relu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.expand(s))


class Inverted(nn.Module):
    def __init__(self, c: int, k: int, stride: int, expand: int, act: Any, se: bool) -> None:
        super().__init__()
        inner = c * expand
        self.body = nn.Sequential(
            conv_bn(c, inner, 1, act=act()) if expand > 1 else nn.Identity(),
            conv_bn(inner, inner, 3, stride, inner, act()),
            SqueezeExcite(inner) if se else nn.Identity(),
            conv_bn(inner, k, 1),
        )
        self.residual = stride == 1 and c == k

    def forward(self, x: Any) -> Any:
        return x + self.body(x) if self.residual else self.body(x)


class MobileNet(nn.Module):
    def __init__(
        self, settings: Any, classes: int, last: int, act: Any = nn.ReLU6, se: bool = False
    ) -> None:
        super().__init__()
        c = 8 if last < 1000 else 32
        layers = [conv_bn(3, c, 3, 2, act=act())]
        for expand, k, count, stride in settings:
            for i in range(count):
                layers.append(Inverted(c, k, stride if i == 0 else 1, expand, act, se))
                c = k
        self.features = nn.Sequential(*layers, conv_bn(c, last, 1, act=act()))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Any) -> Any:
        x = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))


class EncoderBlock(nn.Module):
    """torchvision's: nn.MultiheadAttention on (N, T, D)."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp), nn.GELU(), nn.Dropout(0.0), nn.Linear(mlp, width)
        )

    def forward(self, x: Any) -> Any:
        y = self.ln_1(x)
        y, _ = self.self_attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.mlp(self.ln_2(x))


class QkvBlock(nn.Module):
    """timm's: one matrix for queries, keys and values, cut by unbind; written out with softmax."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp), nn.GELU(), nn.Linear(mlp, width))
        self.heads, self.gamma = heads, nn.Parameter(torch.ones(width))

    def forward(self, x: Any) -> Any:
        N, T, D = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(N, T, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention = ((q * (D // self.heads) ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1)
        y = (attention @ v).transpose(1, 2).reshape(N, T, D)
        x = x + self.gamma * self.proj(y)
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(
        self, block: Any, image: int, patch: int, width: int, depth: int, heads: int, classes: int
    ) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        tokens = (image // patch) ** 2 + 1
        self.pos_embedding = nn.Parameter(torch.zeros(1, tokens, width))
        self.layers = nn.Sequential(*(block(width, heads, 4 * width) for _ in range(depth)))
        self.ln, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = self.layers(x + self.pos_embedding)
        return self.head(self.ln(x)[:, 0])


MOBILE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
SMALL = {
    "resnet18": lambda: (ResNet("basic", (1, 1, 1), (8, 12, 16), 5), 32),
    "resnet50": lambda: (ResNet("bottleneck", (1, 2), (16, 24), 5), 32),
    "regnetx": lambda: (ResNet("regnet", (1, 1), (16, 24), 5, 3, 8), 24),
    "mobilenetv2": lambda: (MobileNet(((1, 8, 1, 1), (2, 12, 2, 2)), 5, 24), 24),
    "mobilenetv3": lambda: (MobileNet(((2, 8, 2, 2),), 5, 24, nn.Hardswish, se=True), 24),
    "efficientnet": lambda: (MobileNet(((2, 8, 2, 2),), 5, 24, nn.SiLU, se=True), 24),
    "vit": lambda: (VisionTransformer(EncoderBlock, 24, 8, 16, 2, 2, 5), 24),
    "deit": lambda: (VisionTransformer(QkvBlock, 24, 8, 16, 2, 2, 5), 24),
}
"""Small networks of the real ones' operators: the module, and the side of its images."""
REAL = {
    "resnet18": lambda: (ResNet("basic", (2, 2, 2, 2), (64, 128, 256, 512), 1000), 224),
    "resnet50": lambda: (ResNet("bottleneck", (3, 4, 6, 3), (256, 512, 1024, 2048), 1000), 224),
    "regnetx": lambda: (ResNet("regnet", (1, 2, 7, 12), (32, 64, 160, 400), 1000, 3, 16), 224),
    "mobilenetv2": lambda: (
        MobileNet((*MOBILE, (6, 160, 3, 2), (6, 320, 1, 1)), 1000, 1280), 224,
    ),
    "vit": lambda: (VisionTransformer(EncoderBlock, 224, 32, 768, 12, 12, 1000), 224),
    "deit": lambda: (VisionTransformer(QkvBlock, 224, 16, 192, 12, 3, 1000), 224),
}  # fmt: skip


def make(models: Any, name: str, seed: int = 0) -> tuple[Any, int]:
    """A module in evaluation with random weights and statistics, and the side of its images."""
    torch.manual_seed(seed)
    module, side = models[name]()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim < 2 or "token" in name or "embedding" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval(), side
