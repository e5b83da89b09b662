"""Parts that several architectures share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.layers.padding import Sides, as_padding, auto_pad

WIDTHS = (0.25, 0.35, 0.5, 0.75, 1.0, 1.25, 1.4, 1.5, 2.0)
"""The width multipliers that published networks have."""


@dataclass(frozen=True)
class ConvNorm:
    """The part of every convolutional network: a convolution, its batch norm and an activation.

    padding: "symmetric" pads half the kernel on every side; "same" as TensorFlow does, so that the
    outputs are the inputs divided by the stride, rounded up, the odd pixel below and at the right.
    batch_norm: without it, the convolutions have biases, as after folding.
    bias: biases beside batch norm.
    """

    epsilon: float = 1e-5
    padding: Literal["symmetric", "same"] = "symmetric"
    batch_norm: bool = True
    bias: bool = False

    def add(
        self,
        net: GraphBuilder,
        x: str,
        conv: str,
        norm: str,
        out_channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str | None = None,
    ) -> str:
        """Append the layers ``conv`` and ``norm`` and the operation ``activation`` to a graph."""
        x = net.add(
            "convolution",
            x,
            name=conv,
            out_channels=out_channels,
            kernel=kernel,
            stride=stride,
            padding=self._padding(net.shapes[x][1:], kernel, stride),
            groups=groups,
            bias=self.bias or not self.batch_norm,
        )
        if self.batch_norm:
            x = net.add("batch_norm", x, name=norm, epsilon=self.epsilon)
        return x if activation is None else net.add(activation, x, name=f"{norm}.{activation}")

    def _padding(self, size: Sequence[int], kernel: int, stride: int) -> Sides:
        if self.padding == "symmetric":
            return as_padding(kernel // 2)
        height, width = size
        return auto_pad("SAME_UPPER", (height, width), (kernel, kernel), (stride, stride))


def round_channels(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``, up if more than a tenth would be lost.

    The rule of MobileNetV2 and its successors for scaled widths.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def stage_and_block(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the stage and the block within it, both from 0, of all blocks in order."""
    for stage, count in enumerate(counts):
        for block in range(count):
            yield stage, block
