"""A small plain convolutional network, without shortcuts."""

from __future__ import annotations

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.graph import IMAGES, LOGITS, Graph, Node


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
    C, H, W = input_shape
    if not widths or min(H, W) >> len(widths) == 0:
        raise InputError(
            f"plain network with widths {widths} on images of {H}x{W}; expected at least one width "
            "and images that can be halved that often"
        )
    nodes = [Node("normalise", "normalise", (IMAGES,), {"channels": C})]
    for i, width in enumerate(widths, start=1):
        convolution = {
            "in_channels": C,
            "out_channels": width,
            "kernel": 3,
            "stride": 1,
            "padding": 1,
            "bias": not batch_norm,
        }
        nodes.append(Node(f"conv{i}", "convolution", (nodes[-1].name,), convolution))
        if batch_norm:
            nodes.append(Node(f"bn{i}", "batch_norm", (f"conv{i}",), {"channels": width}))
        nodes.append(Node(f"relu{i}", "relu", (nodes[-1].name,)))
        nodes.append(Node(f"pool{i}", "max_pool", (f"relu{i}",), {"kernel": 2, "stride": 2}))
        C, H, W = width, H // 2, W // 2
    features = {"in_features": C * H * W, "out_features": classes, "bias": True}
    nodes.append(Node("flatten", "flatten", (nodes[-1].name,)))
    nodes.append(Node("linear", "linear", ("flatten",), features))
    return Graph(f"plain{len(widths)}", {IMAGES: input_shape}, tuple(nodes), {LOGITS: "linear"})
