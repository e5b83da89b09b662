"""A small plain convolutional network, without shortcuts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fcpts_ref.architectures.blocks import ConvNorm
from fcpts_ref.architectures.layouts import Layout
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.graph import Graph, Shape

LAYOUTS = (
    Layout("fcpts-ref", settings={"batch_norm": True}),
    Layout("fcpts-ref", settings={"batch_norm": False}),
)


def plain(
    *,
    classes: int = 10,
    widths: tuple[int, ...] = (16, 32, 64),
    batch_norm: bool = True,
    input_shape: tuple[int, int, int] = (3, 32, 32),
) -> Graph:
    """Build the graph: per width 3x3 convolution, batch norm, ReLU, 2x2 max pooling; then linear.

    Without ``batch_norm`` the convolutions have a bias instead.
    Raises InputError if the images are too small to be halved that often.
    """
    _, H, W = input_shape
    if not widths or min(H, W) >> len(widths) == 0:
        raise InputError(
            f"plain network with widths {widths} on images of {H}x{W}; expected at least one width "
            "and images that can be halved that often"
        )
    net = GraphBuilder(f"plain{len(widths)}", input_shape)
    conv = ConvNorm(batch_norm=batch_norm)
    x = net.add("normalise", net.images)
    for i, width in enumerate(widths, start=1):
        x = conv.add(net, x, f"conv{i}", f"bn{i}", width, kernel=3)
        x = net.add("relu", x, name=f"relu{i}")
        x = net.add("max_pool", x, name=f"pool{i}", kernel=2)
    return net.graph(net.add("linear", net.add("flatten", x), out_features=classes))


def variants(shapes: Mapping[str, Shape]) -> Iterator[dict[str, Any]]:
    """Yield the widths that a checkpoint's arrays have."""
    count = sum(name.startswith("conv") and name.endswith(".weight") for name in shapes)
    yield {"widths": tuple(shapes[f"conv{i}.weight"][0] for i in range(1, count + 1))}
