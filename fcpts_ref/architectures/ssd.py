"""SSD detectors on MobileNets (Liu et al., 2016; Sandler et al., 2018, section 6.2).

Names are those of qfgaohao/pytorch-ssd: base_net.0.0, ..., extras.3.2, classification_headers.5,
regression_headers.5.  Outputs are ``scores`` (N, P, classes), logits of which class 0 is the
background, and ``boxes`` (N, P, 4), codes relative to the P priors of ``priors_of``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.architectures import mobilenet_v1, mobilenet_v2
from fcpts_ref.architectures.blocks import WIDTHS, ConvNorm, round_channels, stage_and_block
from fcpts_ref.architectures.layouts import Layout
from fcpts_ref.detection.priors import PRIORS_PER_CELL, prior_boxes
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import BOXES, SCORES, Graph, Shape

CONV = ConvNorm()
EXTRAS_V1 = ((256, 512), (128, 256), (128, 256), (128, 256))
EXTRAS_V2 = ((256, 512), (128, 256), (128, 256), (64, 64))
"""Inner and outer channels of the layers after the base network."""
LAST_V2 = 1280

Header = Callable[[GraphBuilder, str, str, int], str]


def mobilenet_v1_ssd(
    *,
    classes: int = 21,
    width: float = 1.0,
    input_shape: tuple[int, int, int] = (3, 300, 300),
) -> Graph:
    """Build MobileNetV1-SSD: full convolutions in the extra layers and the heads.

    classes: the background included.  width: a factor of all widths but those of the outputs,
    rounded to multiples of 8.
    """
    net = GraphBuilder("mobilenet_v1_ssd", input_shape)
    x = net.add("normalise", net.images)
    channels = round_channels(32 * width)
    x = CONV.add(
        net, x, "base_net.0.0", "base_net.0.1", channels, kernel=3, stride=2, activation="relu"
    )
    sources = []
    stages = mobilenet_v1.STAGES
    blocks = stage_and_block([count for _, count, _ in stages])
    for number, (stage, block) in enumerate(blocks, start=1):
        channels, _, stride = stages[stage]
        names = tuple(f"base_net.{number}.{part}" for part in (0, 1, 3, 4))
        out, stride = round_channels(channels * width), stride if block == 0 else 1
        x = mobilenet_v1.separable(net, x, names, out, stride, "relu")
        if number in (11, 13):
            sources.append(x)
    for number, (inner, outer) in enumerate(EXTRAS_V1):
        x = _plain(net, x, f"extras.{number}.0", round_channels(inner * width))
        x = net.add("relu", x, name=f"extras.{number}.1")
        x = _plain(net, x, f"extras.{number}.2", round_channels(outer * width), 3, 2)
        x = net.add("relu", x, name=f"extras.{number}.3")
        sources.append(x)

    def header(net: GraphBuilder, x: str, name: str, out: int) -> str:
        return _plain(net, x, name, out, 3)

    return _with_heads(net, sources, classes, [header] * 6)


def mobilenet_v2_ssd_lite(
    *,
    classes: int = 21,
    width: float = 1.0,
    input_shape: tuple[int, int, int] = (3, 300, 300),
) -> Graph:
    """Build MobileNetV2-SSD-Lite: depthwise separable extra layers and heads.

    classes: the background included.  width: a factor of all widths but those of the outputs,
    rounded to multiples of 8.
    """
    net = GraphBuilder("mobilenet_v2_ssd_lite", input_shape)
    x = net.add("normalise", net.images)
    x = _relu6(net, x, "base_net.0", round_channels(32 * width), 3, 2)
    sources = []
    stages = mobilenet_v2.STAGES
    blocks = stage_and_block([count for _, _, count, _ in stages])
    for number, (stage, block) in enumerate(blocks, start=1):
        expansion, channels, _, stride = stages[stage]
        x, expanded = _inverted_residual(
            net,
            x,
            f"base_net.{number}.conv",
            net.shapes[x][0] * expansion,
            round_channels(channels * width),
            stride if block == 0 else 1,
        )
        if number == 14:
            sources.append(expanded)
    x = _relu6(net, x, "base_net.18", round_channels(LAST_V2 * width))
    sources.append(x)
    for number, (inner, outer) in enumerate(EXTRAS_V2):
        hidden, out = round_channels(inner * width), round_channels(outer * width)
        x, _ = _inverted_residual(net, x, f"extras.{number}.conv", hidden, out, 2)
        sources.append(x)

    def separable(net: GraphBuilder, x: str, name: str, out: int) -> str:
        C = net.shapes[x][0]
        x = _plain(net, x, f"{name}.0", C, 3, groups=C)
        x = net.add("batch_norm", x, name=f"{name}.1")
        return _plain(net, net.add("relu6", x, name=f"{name}.2"), f"{name}.3", out)

    return _with_heads(net, sources, classes, [separable] * 5 + [_plain])


def _inverted_residual(
    net: GraphBuilder, x: str, name: str, inner: int, out: int, stride: int
) -> tuple[str, str]:
    """Append a block; return its value and that of its expansion."""
    source, C = x, net.shapes[x][0]
    numbers = iter(range(8))

    def names() -> tuple[str, str]:
        found = f"{name}.{next(numbers)}", f"{name}.{next(numbers)}"
        next(numbers, None)  # the activation's
        return found

    if inner != C:
        x = CONV.add(net, x, *names(), inner, activation="relu6")
    expanded = x
    x = CONV.add(net, x, *names(), inner, kernel=3, stride=stride, groups=inner, activation="relu6")
    x = CONV.add(net, x, *names(), out)
    if stride == 1 and out == C:
        x = net.add("add", source, x, name=f"{name}.add")
    return x, expanded


def _relu6(net: GraphBuilder, x: str, name: str, out: int, kernel: int = 1, stride: int = 1) -> str:
    return CONV.add(
        net, x, f"{name}.0", f"{name}.1", out, kernel=kernel, stride=stride, activation="relu6"
    )


def _plain(
    net: GraphBuilder,
    x: str,
    name: str,
    out: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> str:
    """Append a convolution with bias."""
    return net.add(
        "convolution",
        x,
        name=name,
        out_channels=out,
        kernel=kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        bias=True,
    )


def _with_heads(
    net: GraphBuilder, sources: list[str], classes: int, headers: Sequence[Header]
) -> Graph:
    """Append both heads of every source; return the graph with their outputs joined.

    The channels of a head are those of the first prior of the cell, then those of the second one.
    """
    if classes < 2:
        raise InputError(f"classes is {classes}; expected 2 or more, the background included")
    outputs = {}
    for output, kind, length in (
        (SCORES, "classification_headers", classes),
        (BOXES, "regression_headers", 4),
    ):
        parts = []
        for number, (x, header) in enumerate(zip(sources, headers, strict=True)):
            name = f"{kind}.{number}"
            y = header(net, x, name, PRIORS_PER_CELL * length)
            y = net.add("transpose", y, name=f"{name}.channels_last", permutation=(1, 2, 0))
            parts.append(net.add("reshape", y, name=f"{name}.priors", shape=(-1, length)))
        outputs[output] = net.add("concat", *parts, name=kind, axis=0)
    return net.graph(**outputs)


def priors_of(graph: Graph) -> NDArray[np.float64]:
    """Return the priors (P, 4) of a detector's graph, as centres in shares of the image.

    The feature maps are those that its heads read.
    Raises InputError for a graph without the heads of the detectors in this module.
    """
    if not graph.is_detector:
        raise InputError(
            f"network {graph.name!r} has the outputs {', '.join(graph.outputs)}; expected a "
            f"detector's, {SCORES} and {BOXES}"
        )
    heads = [n for n in graph.nodes if n.name == graph.outputs[BOXES] and n.operation == "concat"]
    cells = []
    for part in heads[0].inputs if heads else ():
        reshape = next(node for node in graph.nodes if node.name == part)
        H, W, *_ = (*graph.shapes[reshape.inputs[0]], 0, 0)
        cells.append((H, W))
    height, width = graph.input_shape[1:]
    priors = prior_boxes(cells, (height, width))
    if len(priors) != graph.output_shapes[BOXES][0]:
        raise InputError(
            f"network {graph.name!r} has {graph.output_shapes[BOXES][0]} boxes, and its heads read "
            f"feature maps of {len(priors)}; expected as many"
        )
    return priors


def variants(shapes: Mapping[str, Shape]) -> Iterator[dict[str, Any]]:
    """Yield the classes that a checkpoint's heads show, with the widths of published networks."""
    heads = [name for name in shapes if name.startswith("classification_headers.5")]
    classes = {"classes": shapes[heads[0]][0] // PRIORS_PER_CELL} if heads else {}
    yield classes
    for width in WIDTHS:
        yield {"width": width, **classes}


LAYOUTS = (Layout("qfgaohao/pytorch-ssd", normalise="lite", preprocess="ssd"),)
