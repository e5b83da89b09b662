"""CIFAR residual networks (He, Zhang, Ren and Sun, 2015, section 4.2), of any depth 6n + 2."""

from __future__ import annotations

from typing import Any, Literal

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import IMAGES, LOGITS, Graph, Node

Shortcut = Literal["A", "B"]


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
    Names follow the PyTorch checkpoints of these networks: conv1, layer1.0.conv1, ..., linear.
    Raises InputError for another depth or widths that cannot be padded.
    """
    if depth < 8 or (depth - 2) % 6:
        raise InputError(
            f"ResNet depth is {depth}; expected 6n + 2: 8, 14, 20, 26, 32, 38, 44, 50, 56, ..."
        )
    if shortcut not in ("A", "B"):
        raise InputError(f"shortcut is {shortcut!r}; expected 'A' or 'B'")
    C = input_shape[0]
    nodes = [Node("normalise", "normalise", (IMAGES,), {"channels": C})]
    nodes += _conv_norm("conv1", "bn1", "normalise", C, widths[0])
    nodes.append(Node("relu", "relu", ("bn1",)))
    last, width = "relu", widths[0]
    for stage, new_width in enumerate(widths, start=1):
        for block in range((depth - 2) // 6):
            stride = 2 if stage > 1 and block == 0 else 1
            nodes += _block(f"layer{stage}.{block}", last, width, new_width, stride, shortcut)
            last, width = nodes[-1].name, new_width
    features = {"in_features": width, "out_features": classes, "bias": True}
    nodes.append(Node("pool", "global_average_pool", (last,)))
    nodes.append(Node("linear", "linear", ("pool",), features))
    return Graph(f"resnet{depth}", {IMAGES: input_shape}, tuple(nodes), {LOGITS: "linear"})


def _block(
    name: str, source: str, width: int, new_width: int, stride: int, shortcut: Shortcut
) -> list[Node]:
    """Two 3x3 convolutions with batch norm, added to the shortcut, then ReLU."""
    nodes = _conv_norm(f"{name}.conv1", f"{name}.bn1", source, width, new_width, stride)
    nodes.append(Node(f"{name}.relu1", "relu", (f"{name}.bn1",)))
    nodes += _conv_norm(f"{name}.conv2", f"{name}.bn2", f"{name}.relu1", new_width, new_width)
    residual = source
    if stride != 1 or width != new_width:
        nodes += _shortcut(f"{name}.shortcut", source, width, new_width, stride, shortcut)
        residual = nodes[-1].name
    nodes.append(Node(f"{name}.add", "add", (f"{name}.bn2", residual)))
    nodes.append(Node(f"{name}.relu2", "relu", (f"{name}.add",)))
    return nodes


def _shortcut(
    name: str, source: str, width: int, new_width: int, stride: int, kind: Shortcut
) -> list[Node]:
    if kind == "B":
        return _conv_norm(
            f"{name}.0", f"{name}.1", source, width, new_width, stride, kernel=1, padding=0
        )
    new = new_width - width
    if new < 0:
        raise InputError(
            f"{name} maps {width} to {new_width} channels; option A can only add channels: "
            "use growing widths or shortcut='B'"
        )
    return [
        Node(f"{name}.subsample", "subsample", (source,), {"stride": stride}),
        Node(
            f"{name}.pad",
            "zero_pad",
            (f"{name}.subsample",),
            {"before": new // 2, "after": new - new // 2},
        ),
    ]


def _conv_norm(
    conv: str,
    norm: str,
    source: str,
    in_channels: int,
    out_channels: int,
    stride: int = 1,
    *,
    kernel: int = 3,
    padding: int = 1,
) -> list[Node]:
    attributes: dict[str, Any] = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "bias": False,
    }
    return [
        Node(conv, "convolution", (source,), attributes),
        Node(norm, "batch_norm", (conv,), {"channels": out_channels}),
    ]
