"""Small networks to trace: pooling with ties and padding, a dead channel, weights on a lattice."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from small_networks import classifier, make_images, make_network, small_resnet

from fcpts_ref.graphs.graph import IMAGES, Graph, Node
from fcpts_ref.graphs.network import Network
from fcpts_ref.oracle.trace import record_run
from fcpts_ref.oracle.trace_file import Trace
from fcpts_ref.pruning.fcpts.method import FCPTS

IMAGE_COUNT = 24
BATCH = 8


def pooled() -> Graph:
    """Two convolutions with batch norm, both poolings, a linear layer with bias."""
    window = {"kernel": 3, "padding": 1}
    return classifier(
        "pooled",
        (2, 8, 8),
        (
            Node("conv1", "convolution", (IMAGES,), window | {"in_channels": 2, "out_channels": 4}),
            Node("bn1", "batch_norm", ("conv1",), {"channels": 4}),
            Node("relu1", "relu", ("bn1",)),
            Node("max", "max_pool", ("relu1",), {"kernel": 2, "stride": 2}),
            Node("conv2", "convolution", ("max",), window | {"in_channels": 4, "out_channels": 6}),
            Node("bn2", "batch_norm", ("conv2",), {"channels": 6}),
            Node("relu2", "relu", ("bn2",)),
            Node("average", "average_pool", ("relu2",), {"kernel": 2, "stride": 2, "padding": 1}),
            Node("flatten", "flatten", ("average",)),
            Node("linear", "linear", ("flatten",), {"in_features": 54, "out_features": 5}),
        ),
    )


@cache
def network(kind: str = "plain") -> Network:
    """plain: thresholds begin on weights.  dead: channel 0 is 0 before its ReLU and so ties.
    lattice: weights are multiples of 1/64, the edges of 64 bins.  large: weights beyond 1.
    residual: additions, a shortcut that subsamples and pads, a normalised input.
    """
    if kind == "residual":
        return make_network(small_resnet())
    base = make_network(pooled())
    p = {name: array.copy() for name, array in base.parameters.items()}
    if kind == "dead":
        for name in ("bn1.weight", "bn1.bias"):
            p[name][0] = 0.0
    if kind == "lattice":
        for name in base.graph.prunable:
            steps = np.round(64 * p[name] / np.abs(p[name]).max() * 0.5)
            steps.flat[:2] = -32, 32
            p[name] = steps / 64
    if kind == "large":
        p["linear.weight"] = 8 * p["linear.weight"]
    return Network(base.graph, p, base.buffers)


def record(kind: str = "plain", steps: Any = (0, 1), target: float = 0.5, **settings: Any) -> Trace:
    """A trace of the first steps of a run of four epochs, three steps each."""
    method = FCPTS(**({"profile": "paper", "epochs": 4, "batch_size": BATCH} | settings))
    images = make_images(network(kind).graph, IMAGE_COUNT)
    return record_run(network(kind), images, target=target, steps=steps, method=method)
