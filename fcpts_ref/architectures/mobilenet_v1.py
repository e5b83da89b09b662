"""MobileNetV1 (Howard et al., 2017): depthwise separable convolutions.

Names are timm's: conv_stem, bn1, blocks.0.0.conv_dw, blocks.0.0.conv_pw, ..., classifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from fcpts_ref.architectures.blocks import ConvNorm, round_channels, stage_and_block
from fcpts_ref.architectures.layouts import CIFAR, Layout, table
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph

# (channels, blocks, stride of the first block), Table 1 of the paper
STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
CONV = ConvNorm()


def mobilenet_v1(
    *,
    classes: int = 1000,
    width: float = 1.0,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    activation: Literal["relu", "relu6"] = "relu",
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> Graph:
    """Build the graph: a 3x3 convolution, 13 pairs of depthwise 3x3 and 1x1, and a linear layer.

    width: a factor of all widths, rounded to multiples of 8.  stem: "cifar" has stride 1 in the
    first convolution.  activation: "relu" as in the paper, or "relu6" as TensorFlow and timm do.
    Raises InputError for another stem or activation.
    """
    if stem not in ("imagenet", "cifar") or activation not in ("relu", "relu6"):
        raise InputError(
            f"stem is {stem!r} and activation {activation!r}; expected 'imagenet' or 'cifar', and "
            "'relu' or 'relu6'"
        )
    net = GraphBuilder("mobilenet_v1" if stem == "imagenet" else "mobilenet_v1_cifar", input_shape)
    stride = 2 if stem == "imagenet" else 1
    x = net.add("normalise", net.images)
    x = CONV.add(
        net,
        x,
        "conv_stem",
        "bn1",
        round_channels(32 * width),
        kernel=3,
        stride=stride,
        activation=activation,
    )
    for stage, block in stage_and_block([count for _, count, _ in STAGES]):
        channels, _, first_stride = STAGES[stage]
        name = f"blocks.{stage}.{block}"
        names = tuple(f"{name}.{part}" for part in ("conv_dw", "bn1", "conv_pw", "bn2"))
        out = round_channels(channels * width)
        stride = first_stride if block == 0 else 1
        x = separable(net, x, names, out, stride, activation)
    x = net.add("global_average_pool", x, name="global_pool")
    return net.graph(net.add("linear", x, name="classifier", out_features=classes))


def separable(
    net: GraphBuilder, x: str, names: tuple[str, ...], out: int, stride: int, activation: str
) -> str:
    """Add a depthwise 3x3 convolution and a 1x1 convolution, each with batch norm and activation.

    names: of convolution, batch norm, convolution, batch norm.
    """
    depthwise, first, pointwise, second = names
    C = net.shapes[x][0]
    x = CONV.add(
        net, x, depthwise, first, C, kernel=3, stride=stride, groups=C, activation=activation
    )
    return CONV.add(net, x, pointwise, second, out, activation=activation)


def _names() -> Iterator[tuple[str, str, str]]:
    """Yield every layer's name here, in marvis's networks, and in kuangliu's for CIFAR."""
    yield "conv_stem", "model.0.0", "conv1"
    yield "bn1", "model.0.1", "bn1"
    blocks = stage_and_block([count for _, count, _ in STAGES])
    for number, (stage, block) in enumerate(blocks):
        for ours, marvis, kuangliu in (
            ("conv_dw", 0, "conv1"),
            ("bn1", 1, "bn1"),
            ("conv_pw", 3, "conv2"),
            ("bn2", 4, "bn2"),
        ):
            yield (
                f"blocks.{stage}.{block}.{ours}",
                f"model.{number + 1}.{marvis}",
                f"layers.{number}.{kuangliu}",
            )
    yield "classifier", "fc", "linear"


_OURS, _MARVIS, _KUANGLIU = zip(*_names(), strict=True)
LAYOUTS = (
    Layout("timm", settings={"activation": "relu6"}, normalise="half", preprocess="timm"),
    Layout("marvis/pytorch-mobilenet", table(_OURS, _MARVIS), preprocess="torchvision"),
)
CIFAR_LAYOUTS = (Layout("kuangliu/pytorch-cifar", table(_OURS, _KUANGLIU), normalise=CIFAR),)
