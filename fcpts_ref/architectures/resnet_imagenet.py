"""ImageNet ResNets (He, Zhang, Ren and Sun, 2015), as torchvision builds them: 18, 34, 50, 101.

Names are torchvision's, which timm shares: conv1, layer1.0.conv1, layer2.0.downsample.0, fc.
"""

from __future__ import annotations

from typing import Literal

from fcpts_ref.architectures.blocks import ConvNorm
from fcpts_ref.architectures.layouts import CIFAR, Layout, renaming
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph

# depth: (blocks of each stage, whether they are bottlenecks)
DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
}
EXPANSION = 4  # a bottleneck's outputs per inner channel

LAYOUTS = (Layout("torchvision, timm", preprocess="torchvision"),)
CIFAR_LAYOUTS = (
    Layout("torchvision", normalise=CIFAR),
    Layout(
        "kuangliu/pytorch-cifar",
        renaming((r"(.+)\.downsample\.(\d)", r"\1.shortcut.\2"), ("fc", "linear")),
        normalise=CIFAR,
    ),
    Layout(
        "ModelTC/FCPTS",
        renaming(
            ("conv1", "conv1.0"),
            ("bn1", "conv1.1"),
            *(
                (rf"layer{stage}\.(\d+)\.{ours}", rf"conv{stage + 1}_x.\1.{theirs}")
                for stage in range(1, 5)
                for ours, theirs in (
                    (r"conv1", "residual_function.0"),
                    (r"bn1", "residual_function.1"),
                    (r"conv2", "residual_function.3"),
                    (r"bn2", "residual_function.4"),
                    (r"conv3", "residual_function.6"),
                    (r"bn3", "residual_function.7"),
                    (r"downsample\.0", "shortcut.0"),
                    (r"downsample\.1", "shortcut.1"),
                )
            ),
        ),
        normalise=CIFAR,
    ),
)


def resnet_imagenet(
    depth: int,
    *,
    classes: int = 1000,
    width: float = 1.0,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    input_shape: tuple[int, int, int] = (3, 224, 224),
) -> Graph:
    """Build the graph: a stem, four stages of residual blocks 64 to 512 wide, and a linear layer.

    Blocks are two 3x3 convolutions up to depth 34, else bottlenecks 1x1, 3x3, 1x1 whose 3x3
    convolution has the stride (version 1.5).  Where the shape changes, the shortcut is a 1x1
    convolution with batch norm (option B).
    width: a factor of all widths.  stem: "imagenet" is a 7x7 convolution of stride 2 and 3x3 max
    pooling of stride 2; "cifar" a 3x3 convolution of stride 1, for small images.
    Raises InputError for another depth or stem.
    """
    if depth not in DEPTHS:
        raise InputError(f"ResNet depth is {depth}; expected one of {', '.join(map(str, DEPTHS))}")
    if stem not in ("imagenet", "cifar"):
        raise InputError(f"stem is {stem!r}; expected 'imagenet' or 'cifar'")
    counts, bottleneck = DEPTHS[depth]
    widths = [max(1, round(width * 64 * 2**stage)) for stage in range(4)]
    net = GraphBuilder(f"resnet{depth}{'_cifar' if stem == 'cifar' else ''}", input_shape)
    x = net.add("normalise", net.images)
    kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
    x = CONV.add(net, x, "conv1", "bn1", widths[0], kernel=kernel, stride=stride, activation="relu")
    if stem == "imagenet":
        x = net.add("max_pool", x, name="maxpool", kernel=3, stride=2, padding=1)
    block = _bottleneck if bottleneck else _basic
    for stage, (count, inner) in enumerate(zip(counts, widths, strict=True), start=1):
        for i in range(count):
            x = block(net, x, f"layer{stage}.{i}", inner, 2 if stage > 1 and i == 0 else 1)
    x = net.add("global_average_pool", x, name="avgpool")
    return net.graph(net.add("linear", x, name="fc", out_features=classes))


CONV = ConvNorm()


def _basic(net: GraphBuilder, x: str, name: str, width: int, stride: int) -> str:
    y = _layer(net, x, name, 1, width, kernel=3, stride=stride)
    return _join(net, x, _layer(net, y, name, 2, width, kernel=3, last=True), name, stride)


def _bottleneck(net: GraphBuilder, x: str, name: str, width: int, stride: int) -> str:
    y = _layer(net, x, name, 1, width)
    y = _layer(net, y, name, 2, width, kernel=3, stride=stride)
    return _join(net, x, _layer(net, y, name, 3, width * EXPANSION, last=True), name, stride)


def _layer(
    net: GraphBuilder,
    x: str,
    name: str,
    number: int,
    width: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    last: bool = False,
) -> str:
    conv, norm = f"{name}.conv{number}", f"{name}.bn{number}"
    activation = None if last else "relu"
    return CONV.add(net, x, conv, norm, width, kernel=kernel, stride=stride, activation=activation)


def _join(net: GraphBuilder, x: str, y: str, name: str, stride: int) -> str:
    """Add the block's result ``y`` to its input ``x``, projected where the shape changes."""
    if net.shapes[x] != net.shapes[y]:
        project, norm = f"{name}.downsample.0", f"{name}.downsample.1"
        x = CONV.add(net, x, project, norm, net.shapes[y][0], stride=stride)
    return net.add("relu", net.add("add", y, x, name=f"{name}.add"), name=f"{name}.relu")
