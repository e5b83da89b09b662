"""Small networks and images that several tests share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fcpts_ref.architectures.plain import plain
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.initialise import initialise
from fcpts_ref.graphs.network import Network


def make_network(graph: Graph, seed: int = 0, dtype: Any = np.float64) -> Network:
    """Initialised, and every batch norm, bias and running statistic moved off its start."""
    generator = np.random.default_rng(seed)
    network = initialise(graph, generator, dtype=np.float64)
    parameters = {
        name: a if name in graph.prunable else a + 0.3 * generator.standard_normal(a.shape)
        for name, a in network.parameters.items()
    }
    buffers = {
        name: generator.uniform(0.5, 1.5, a.shape)
        if name.endswith(("_var", "std"))
        else 0.2 * generator.standard_normal(a.shape)
        for name, a in network.buffers.items()
    }
    return Network(graph, parameters, buffers).astype(dtype)


def classifier(name: str, shape: tuple[int, ...], nodes: tuple[Node, ...]) -> Graph:
    """A graph that reads "images" and gives its last node's value as "logits"."""
    outputs = {"logits": nodes[-1].name} if nodes else {}
    return Graph(name, {"images": shape}, nodes, outputs)


def make_images(graph: Graph, count: int = 4, seed: int = 1, dtype: Any = np.float64) -> Any:
    generator = np.random.default_rng(seed)
    return generator.random((count, *graph.input_shape)).astype(dtype)


def small_resnet(shortcut: Any = "A") -> Graph:
    return resnet(8, classes=5, widths=(3, 5, 6), shortcut=shortcut, input_shape=(2, 8, 8))


def small_plain(batch_norm: bool = True) -> Graph:
    return plain(classes=4, widths=(3, 4), batch_norm=batch_norm, input_shape=(2, 6, 6))


def every_operation() -> Graph:
    """One graph with every operation of the package, among them groups, dilation and a fan-out."""
    n = Node
    return classifier(
        "everything",
        (2, 9, 9),
        (
            n("normalise", "normalise", ("images",), {"channels": 2}),
            n(
                "conv",
                "convolution",
                ("normalise",),
                {
                    "in_channels": 2,
                    "out_channels": 4,
                    "kernel": (3, 2),
                    "stride": 1,
                    "padding": (1, 0),
                    "dilation": (1, 2),
                    "groups": 2,
                    "bias": True,
                },
            ),
            n("bn", "batch_norm", ("conv",), {"channels": 4, "momentum": 0.2, "epsilon": 1e-3}),
            n("relu6", "relu6", ("bn",)),
            n("max", "max_pool", ("relu6",), {"kernel": 3, "stride": 2, "padding": 1}),
            n("sub", "subsample", ("relu6",), {"stride": 2}),
            n("join", "add", ("max", "sub")),
            n("pad", "zero_pad", ("join",), {"before": 1, "after": 1}),
            n("relu", "relu", ("pad",)),
            n("average", "average_pool", ("relu",), {"kernel": 2, "stride": 1}),
            n("twice", "add", ("average", "average")),
            n("flatten", "flatten", ("twice",)),
            n("linear", "linear", ("flatten",), {"in_features": 72, "out_features": 3}),
            n("log", "log_softmax", ("linear",)),
            n("soft", "softmax", ("log",)),
        ),
    )
