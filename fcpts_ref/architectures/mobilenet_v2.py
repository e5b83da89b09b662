"""MobileNetV2 (Sandler et al., 2018): inverted residuals with linear bottlenecks.

Names are torchvision's: features.0.0, features.1.conv.0.0, ..., features.18.0, classifier.1.
"""

from __future__ import annotations

from fcpts_ref.architectures.blocks import conv_norm, round_channels
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph

# (expansion, channels, blocks, stride of the first block), Table 2 of the paper
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
HEAD = 1280


def mobilenet_v2(
    *,
    classes: int = 1000,
    width: float = 1.0,
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> Graph:
    """Build the graph.  width: a factor of all widths, rounded to multiples of 8.

    The last 1x1 convolution is never narrower than 1280.
    """
    net = GraphBuilder("mobilenet_v2", input_shape)
    x = net.add("normalise", net.images)
    x = _conv(net, x, "features.0", round_channels(32 * width), kernel=3, stride=2)
    number = 0
    for expansion, channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            number += 1
            stride = first_stride if block == 0 else 1
            x = _inverted_residual(
                net, x, f"features.{number}", round_channels(channels * width), expansion, stride
            )
    x = _conv(net, x, f"features.{number + 1}", round_channels(HEAD * max(1.0, width)))
    x = net.add("global_average_pool", x, name="avgpool")
    return net.graph(net.add("linear", x, name="classifier.1", out_features=classes))


def _inverted_residual(
    net: GraphBuilder, x: str, name: str, channels: int, expansion: int, stride: int
) -> str:
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without an activation."""
    source, C = x, net.shapes[x][0]
    layers = iter(f"{name}.conv.{i}" for i in range(4))
    if expansion != 1:
        x = _conv(net, x, next(layers), C * expansion)
    inner = C * expansion
    x = _conv(net, x, next(layers), inner, kernel=3, stride=stride, groups=inner)
    x = conv_norm(net, x, next(layers), next(layers), channels)
    if stride == 1 and channels == C:
        x = net.add("add", source, x, name=f"{name}.add")
    return x


def _conv(
    net: GraphBuilder,
    x: str,
    name: str,
    out_channels: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> str:
    """Convolution, batch norm and ReLU6: ``name``.0, ``name``.1 and ``name``.2."""
    x = conv_norm(
        net,
        x,
        f"{name}.0",
        f"{name}.1",
        out_channels,
        kernel=kernel,
        stride=stride,
        groups=groups,
    )
    return net.add("relu6", x, name=f"{name}.2")
