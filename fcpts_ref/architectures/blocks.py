"""Parts that several architectures share."""

from __future__ import annotations

from typing import Any

from fcpts_ref.graphs.builder import GraphBuilder


def conv_norm(
    net: GraphBuilder,
    x: str,
    conv: str,
    norm: str,
    out_channels: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    padding: Any = None,
    groups: int = 1,
    epsilon: float = 1e-5,
    batch_norm: bool = True,
) -> str:
    """Append a convolution without bias and its batch norm, named ``conv`` and ``norm``.

    padding: by default half the kernel on every side.  Without ``batch_norm`` the convolution has a
    bias in its place, as it has once batch norm is folded into it.
    """
    x = net.add(
        "convolution",
        x,
        name=conv,
        out_channels=out_channels,
        kernel=kernel,
        stride=stride,
        padding=kernel // 2 if padding is None else padding,
        groups=groups,
        bias=not batch_norm,
    )
    return net.add("batch_norm", x, name=norm, epsilon=epsilon) if batch_norm else x


def round_channels(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of ``divisor``, up if more than a tenth would be lost.

    The rule of MobileNetV2 and its successors for scaled widths.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
