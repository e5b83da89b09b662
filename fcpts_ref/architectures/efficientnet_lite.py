"""EfficientNet-Lite0 (Tan and Le, 2019; the Lite versions, 2020): no squeeze, ReLU6 for swish.

Names are timm's: conv_stem, bn1, blocks.0.0.conv_dw, blocks.1.0.conv_pw, ..., classifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fcpts_ref.architectures.blocks import ConvNorm, round_channels, stage_and_block
from fcpts_ref.architectures.layouts import Layout, table
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph

# (kernel, expansion, channels, blocks, stride of the first block)
STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)
STEM, HEAD = 32, 1280  # of every width


def efficientnet_lite0(
    *,
    classes: int = 1000,
    width: float = 1.0,
    padding: Literal["symmetric", "same"] = "same",
    epsilon: float = 1e-3,
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> Graph:
    """Build the graph: a 3x3 convolution, seven stages of inverted residuals, 1x1 to 1280.

    width: a factor of the widths of the stages, rounded to multiples of 8; the first and the last
    convolution keep theirs.  padding, epsilon: by default TensorFlow's, with which the published
    weights were trained; timm's own training has "symmetric" and 1e-5.
    """
    conv = ConvNorm(epsilon=epsilon, padding=padding)
    name = "efficientnet_lite0" if padding == "same" else "efficientnet_lite0_symmetric"
    net = GraphBuilder(name, input_shape)
    x = net.add("normalise", net.images)
    x = conv.add(net, x, "conv_stem", "bn1", STEM, kernel=3, stride=2, activation="relu6")
    for stage, block in stage_and_block([count for *_, count, _ in STAGES]):
        kernel, expansion, channels, _, stride = STAGES[stage]
        x = _block(
            net,
            x,
            conv,
            f"blocks.{stage}.{block}",
            round_channels(channels * width),
            kernel,
            expansion,
            stride if block == 0 else 1,
        )
    x = conv.add(net, x, "conv_head", "bn2", HEAD, activation="relu6")
    x = net.add("global_average_pool", x, name="global_pool")
    return net.graph(net.add("linear", x, name="classifier", out_features=classes))


def _block(
    net: GraphBuilder,
    x: str,
    conv: ConvNorm,
    name: str,
    channels: int,
    kernel: int,
    expansion: int,
    stride: int,
) -> str:
    """Expand by 1x1, filter each channel, project by 1x1 without an activation."""
    source, C = x, net.shapes[x][0]
    inner, norms = C * expansion, iter(("bn1", "bn2", "bn3"))
    if expansion != 1:
        expand, norm = f"{name}.conv_pw", f"{name}.{next(norms)}"
        x = conv.add(net, x, expand, norm, inner, activation="relu6")
    x = conv.add(
        net,
        x,
        f"{name}.conv_dw",
        f"{name}.{next(norms)}",
        inner,
        kernel=kernel,
        stride=stride,
        groups=inner,
        activation="relu6",
    )
    project = f"{name}.{'conv_pw' if expansion == 1 else 'conv_pwl'}"
    x = conv.add(net, x, project, f"{name}.{next(norms)}", channels)
    if stride == 1 and channels == C:
        x = net.add("add", source, x, name=f"{name}.add")
    return x


# The layers of a block, without and with expansion: ours and efficientnet-lite-pytorch's.
FIRST = (
    ("conv_dw", "_depthwise_conv"),
    ("bn1", "_bn1"),
    ("conv_pw", "_project_conv"),
    ("bn2", "_bn2"),
)
OTHER = (
    ("conv_pw", "_expand_conv"),
    ("bn1", "_bn0"),
    ("conv_dw", "_depthwise_conv"),
    ("bn2", "_bn1"),
    ("conv_pwl", "_project_conv"),
    ("bn3", "_bn2"),
)


def _names() -> Iterator[tuple[str, str]]:
    """Yield every layer's name here and in efficientnet-lite-pytorch."""
    yield from (("conv_stem", "_conv_stem"), ("bn1", "_bn0"))
    blocks = stage_and_block([count for *_, count, _ in STAGES])
    for number, (stage, block) in enumerate(blocks):
        for ours, theirs in FIRST if number == 0 else OTHER:
            yield f"blocks.{stage}.{block}.{ours}", f"_blocks.{number}.{theirs}"
    yield from (("conv_head", "_conv_head"), ("bn2", "_bn1"), ("classifier", "_fc"))


PRESET = "efficientnet-lite0"
_OURS, _THEIRS = zip(*_names(), strict=True)
LAYOUTS = (
    Layout("efficientnet-lite-pytorch", table(_OURS, _THEIRS), normalise="lite", preprocess=PRESET),
    Layout("timm tf_efficientnet_lite0", normalise="half", preprocess=PRESET),
)
SYMMETRIC_LAYOUTS = (Layout("timm efficientnet_lite0", preprocess="timm"),)
