"""CIFAR residual networks (He, Zhang, Ren and Sun, 2015, section 4.2), of any depth 6n + 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fcpts_ref.architectures.blocks import ConvNorm
from fcpts_ref.architectures.layouts import CIFAR, Layout, renaming
from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph, Shape

Shortcut = Literal["A", "B"]
CONV = ConvNorm()

LAYOUTS = (
    Layout("akamaster/pytorch_resnet_cifar10", settings={"shortcut": "A"}),
    Layout(
        "akamaster/pytorch_resnet_cifar10, with fc",
        renaming(("linear", "fc")),
        settings={"shortcut": "A"},
    ),
    Layout("chenyaofo/pytorch-cifar-models", settings={"shortcut": "B"}, normalise=CIFAR),
    Layout(
        "akamaster/pytorch_resnet_cifar10",
        renaming((r"(.+)\.downsample\.(\d)", r"\1.shortcut.\2"), ("fc", "linear")),
        settings={"shortcut": "B"},
    ),
)


def resnet(
    depth: int,
    *,
    classes: int = 10,
    widths: tuple[int, int, int] = (16, 32, 64),
    shortcut: Shortcut = "A",
    input_shape: tuple[int, int, int] = (3, 32, 32),
) -> Graph:
    """Build the graph: three stages of n basic blocks, depth = 6n + 2; images are halved twice.

    shortcut: where the width grows, "A" subsamples and pads with zero channels (half before, half
    after) and has no parameters; "B" is a 1x1 convolution of stride 2 with batch norm.
    Names follow the PyTorch checkpoints of these networks: conv1, layer1.0.conv1, ..., and linear
    for option A, downsample.0, downsample.1 and fc for option B.
    Raises InputError for another depth or widths that cannot be padded.
    """
    if depth < 8 or (depth - 2) % 6:
        raise InputError(
            f"ResNet depth is {depth}; expected 6n + 2: 8, 14, 20, 26, 32, 38, 44, 50, 56, ..."
        )
    if shortcut not in ("A", "B"):
        raise InputError(f"shortcut is {shortcut!r}; expected 'A' or 'B'")
    net = GraphBuilder(f"resnet{depth}", input_shape)
    x = net.add("normalise", net.images)
    x = CONV.add(net, x, "conv1", "bn1", widths[0], kernel=3)
    x = net.add("relu", x)
    for stage, width in enumerate(widths, start=1):
        for block in range((depth - 2) // 6):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _block(net, x, f"layer{stage}.{block}", width, stride, shortcut)
    x = net.add("global_average_pool", x, name="pool")
    last = "linear" if shortcut == "A" else "fc"
    return net.graph(net.add("linear", x, name=last, out_features=classes))


def variants(shapes: Mapping[str, Shape]) -> Iterator[dict[str, Any]]:
    """Yield the widths that a checkpoint's arrays have."""
    firsts = ("conv1.weight", "layer2.0.conv1.weight", "layer3.0.conv1.weight")
    yield {"widths": tuple(shapes[name][0] for name in firsts)}


def _block(
    net: GraphBuilder, x: str, name: str, width: int, stride: int, shortcut: Shortcut
) -> str:
    """Two 3x3 convolutions with batch norm, added to the shortcut, then ReLU."""
    source = x
    x = CONV.add(net, x, f"{name}.conv1", f"{name}.bn1", width, kernel=3, stride=stride)
    x = net.add("relu", x, name=f"{name}.relu1")
    x = CONV.add(net, x, f"{name}.conv2", f"{name}.bn2", width, kernel=3)
    if stride != 1 or net.shapes[source] != net.shapes[x]:
        source = _shortcut(net, source, name, width, stride, shortcut)
    x = net.add("add", x, source, name=f"{name}.add")
    return net.add("relu", x, name=f"{name}.relu2")


def _shortcut(net: GraphBuilder, x: str, name: str, width: int, stride: int, kind: Shortcut) -> str:
    if kind == "B":
        project, norm = f"{name}.downsample.0", f"{name}.downsample.1"
        return CONV.add(net, x, project, norm, width, stride=stride)
    old = net.shapes[x][0]
    new = width - old
    if new < 0:
        raise InputError(
            f"{name} maps {old} to {counted(width, 'channel')}; option A can only add "
            "channels: use growing widths or shortcut='B'"
        )
    x = net.add("subsample", x, name=f"{name}.shortcut.subsample", stride=stride)
    return net.add(
        "zero_pad", x, name=f"{name}.shortcut.pad", before=new // 2, after=new - new // 2
    )
