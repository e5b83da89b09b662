"""MobileNetV2 (Sandler et al., 2018): inverted residuals with linear bottlenecks.

Names are torchvision's: features.0.0, features.1.conv.0.0, ..., features.18.0, classifier.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from fcpts_ref.architectures.blocks import ConvNorm, round_channels, stage_and_block
from fcpts_ref.architectures.layouts import CIFAR, Layout, table
from fcpts_ref.errors import InputError
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
    stem: Literal["imagenet", "cifar"] = "imagenet",
    padding: Literal["symmetric", "same"] = "symmetric",
    batch_norm: bool = True,
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> Graph:
    """Build the graph.

    width: a factor of all widths, rounded to multiples of 8; the last 1x1 convolution is never
    narrower than 1280.  stem: "cifar" has stride 1 in the first convolution and in the stage of
    24 channels, for small images.  padding, batch_norm: as in ``ConvNorm``; TensorFlow pads by
    "same", and its mobile networks have batch norm folded.
    Raises InputError for another stem.
    """
    if stem not in ("imagenet", "cifar"):
        raise InputError(f"stem is {stem!r}; expected 'imagenet' or 'cifar'")
    conv = ConvNorm(padding=padding, batch_norm=batch_norm)
    small = stem == "cifar"
    net = GraphBuilder("mobilenet_v2_cifar" if small else "mobilenet_v2", input_shape)
    x = net.add("normalise", net.images)
    x = _layer(net, x, conv, "features.0", round_channels(32 * width), 3, 1 if small else 2)
    for number, (expansion, channels, stride) in enumerate(_blocks(small), start=1):
        out = round_channels(channels * width)
        x = _inverted_residual(net, x, conv, f"features.{number}", out, expansion, stride)
    x = _layer(net, x, conv, f"features.{number + 1}", round_channels(HEAD * max(1.0, width)))
    x = net.add("global_average_pool", x, name="avgpool")
    return net.graph(net.add("linear", x, name="classifier.1", out_features=classes))


def _blocks(small: bool) -> Iterator[tuple[int, int, int]]:
    """Yield expansion, channels and stride of every block."""
    for stage, (expansion, channels, count, stride) in enumerate(STAGES):
        for block in range(count):
            first = block == 0 and not (small and stage == 1)
            yield expansion, channels, stride if first else 1


def _inverted_residual(
    net: GraphBuilder,
    x: str,
    conv: ConvNorm,
    name: str,
    channels: int,
    expansion: int,
    stride: int,
) -> str:
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without an activation."""
    source, C = x, net.shapes[x][0]
    layers = iter(f"{name}.conv.{i}" for i in range(4))
    inner = C * expansion
    if expansion != 1:
        x = _layer(net, x, conv, next(layers), inner)
    x = _layer(net, x, conv, next(layers), inner, 3, stride, groups=inner)
    x = conv.add(net, x, next(layers), next(layers), channels)
    if stride == 1 and channels == C:
        x = net.add("add", source, x, name=f"{name}.add")
    return x


def _layer(
    net: GraphBuilder,
    x: str,
    conv: ConvNorm,
    name: str,
    out_channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> str:
    """Convolution, batch norm and ReLU6."""
    return conv.add(
        net,
        x,
        f"{name}.0",
        f"{name}.1",
        out_channels,
        kernel=kernel,
        stride=stride,
        groups=groups,
        activation="relu6",
    )


# The layers of a block, without and with expansion: ours, timm's, d-li14's, TensorFlow's.
FIRST = (
    ("0.0", "conv_dw", 0, "depthwise"),
    ("0.1", "bn1", 1, ""),
    ("1", "conv_pw", 3, "project"),
    ("2", "bn2", 4, ""),
)
OTHER = (
    ("0.0", "conv_pw", 0, "expand"),
    ("0.1", "bn1", 1, ""),
    ("1.0", "conv_dw", 3, "depthwise"),
    ("1.1", "bn2", 4, ""),
    ("2", "conv_pwl", 6, "project"),
    ("3", "bn3", 7, ""),
)


def _names() -> Iterator[tuple[str, str, str, str]]:
    """Yield every layer's name here, in timm, in d-li14's networks, and in TensorFlow's."""
    yield "features.0.0", "conv_stem", "features.0.0", "Conv2d_0_0"
    yield "features.0.1", "bn1", "features.0.1", ""
    blocks = stage_and_block([count for _, _, count, _ in STAGES])
    for number, (stage, block) in enumerate(blocks, start=1):
        for ours, timm, d_li14, tensorflow in FIRST if number == 1 else OTHER:
            yield (
                f"features.{number}.conv.{ours}",
                f"blocks.{stage}.{block}.{timm}",
                f"features.{number}.conv.{d_li14}",
                f"expanded_conv_{number}.{tensorflow}",
            )
    yield f"features.{number + 1}.0", "conv_head", "conv.0", "Conv2d_18_1"
    yield f"features.{number + 1}.1", "bn2", "conv.1", ""
    yield "classifier.1", "classifier", "classifier", "Conv2d_1x1_output"


def _simplify_tensorflow(name: str) -> str:
    """Cut a fused operation's name down to the layer that it begins with.

    ``MobileNetV2.expanded_conv_1.project.Conv2D;Stateful....weight`` is
    ``expanded_conv_1.project.weight``.
    """
    layer = r"MobileNetV2\.(?:top\.)?(Conv2d_\w+|expanded_conv_\d+\.\w+)\."
    found = re.match(layer + r"[^;]*(?:;.*)?\.(\w+)$", name)
    return f"{found[1]}.{found[2]}" if found else name


_OURS, _TIMM, _D_LI14, _TENSORFLOW = zip(*_names(), strict=True)
LAYOUTS = (
    Layout("torchvision, ModelTC/FCPTS", preprocess="torchvision"),
    Layout("timm", table(_OURS, _TIMM), preprocess="timm"),
    Layout("d-li14/mobilenetv2.pytorch", table(_OURS, _D_LI14), preprocess="torchvision"),
    Layout(
        "TensorFlow Lite, batch norm folded",
        table(_OURS, _TENSORFLOW),
        _simplify_tensorflow,
        {"padding": "same", "batch_norm": False},
        normalise="half",
        preprocess="tensorflow",
    ),
)
CIFAR_LAYOUTS = (Layout("chenyaofo/pytorch-cifar-models", normalise=CIFAR),)
