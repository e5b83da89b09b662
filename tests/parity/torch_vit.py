"""A vision transformer as a PyTorch module, written from the papers and not from our graphs."""

from __future__ import annotations

from typing import Any

import pytest

from parity.torch_networks import Normalise

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional


class ClassToken(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(width))

    def forward(self, x: Any) -> Any:
        return torch.cat([self.token.expand(len(x), 1, -1), x], dim=1)


class Position(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(tokens, width))

    def forward(self, x: Any) -> Any:
        return x + self.parameter


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        N, T, D = x.shape
        joint = self.in_proj(x).view(N, T, 3, self.heads, D // self.heads)
        q, k, v = joint.permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / (D // self.heads) ** 0.5
        y = scores.softmax(dim=-1) @ v
        return self.out_proj(y.transpose(1, 2).reshape(N, T, D))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.self_attention = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Any) -> Any:
        x = x + self.self_attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class VisionTransformer(nn.Module):
    def __init__(
        self, image: int, patch: int, width: int, depth: int, heads: int, classes: int
    ) -> None:
        super().__init__()
        self.normalise = Normalise(3)
        self.conv_proj = nn.Conv2d(3, width, patch, patch)
        self.class_token = ClassToken(width)
        self.encoder = nn.Module()
        self.encoder.pos_embedding = Position((image // patch) ** 2 + 1, width)
        self.encoder.layers = nn.Module()
        self.depth = depth
        for i in range(depth):
            self.encoder.layers.add_module(f"encoder_layer_{i}", Layer(width, heads))
        self.encoder.ln = nn.LayerNorm(width, eps=1e-6)
        self.heads = nn.Module()
        self.heads.head = nn.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        x = self.conv_proj(self.normalise(x)).flatten(2).mT
        x = self.encoder.pos_embedding(self.class_token(x))
        for i in range(self.depth):
            x = getattr(self.encoder.layers, f"encoder_layer_{i}")(x)
        return self.heads.head(self.encoder.ln(x)[:, 0])
