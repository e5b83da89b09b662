"""Folding of batch norm into the convolution before it: the same function, one layer fewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.graphs.network import Network

Array = NDArray[Any]


def fold_batch_norm(network: Network) -> Network:
    """Fold every batch norm that directly follows a convolution into it.

    With batch norm's running statistics, scale = gamma / sqrt(running_var + epsilon):
    weight' = scale * weight and bias' = (bias - running_mean) * scale + beta for each output
    channel.  Convolutions keep their names and gain a bias.  A batch norm after anything else, or
    after a convolution with other readers, is not folded.  Masks are unchanged.
    The result evaluates as before, up to rounding; it cannot be trained with batch statistics.
    """
    norms = _foldable(network.graph)
    folded = {f"{c}.{s}": a for c, n in norms.items() for s, a in _folded(network, c, n).items()}
    graph = _without(network.graph, norms)
    everything = {**network.parameters, **folded}
    return Network(
        graph,
        {name: everything[name] for name in graph.parameter_shapes},
        {name: network.buffers[name] for name in graph.buffer_shapes},
        network.masks,
    )


def _foldable(graph: Graph) -> dict[str, Node]:
    """The batch norms that can be folded, by the name of the convolution."""
    outputs = set(graph.outputs.values())
    return {
        node.name: graph.readers[node.name][0]
        for node in graph.nodes
        if node.operation == "convolution"
        and node.name not in outputs
        and [reader.operation for reader in graph.readers[node.name]] == ["batch_norm"]
    }


def _folded(network: Network, convolution: str, norm: Node) -> dict[str, Array]:
    """The convolution's new weight and bias, computed in float64."""
    weight = network.parameters[f"{convolution}.weight"].astype(np.float64)  # (K, C/G, R, S)
    bias = network.parameters.get(f"{convolution}.bias", np.zeros(len(weight)))
    gamma, beta = (network.parameters[f"{norm.name}.{s}"] for s in ("weight", "bias"))
    mean, var = (network.buffers[f"{norm.name}.running_{s}"] for s in ("mean", "var"))
    epsilon = norm.attributes["epsilon"]
    scale = gamma.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
    return {
        "weight": (weight * scale[:, None, None, None]).astype(network.dtype),
        "bias": ((bias - mean.astype(np.float64)) * scale + beta).astype(network.dtype),
    }


def _without(graph: Graph, norms: Mapping[str, Node]) -> Graph:
    """The graph without these nodes; their readers read the convolutions instead."""
    replacement = {norm.name: convolution for convolution, norm in norms.items()}
    nodes = []
    for node in graph.nodes:
        if node.name in replacement:
            continue
        inputs = tuple(replacement.get(name, name) for name in node.inputs)
        bias = {"bias": True} if node.name in norms else {}
        nodes.append(Node(node.name, node.operation, inputs, {**node.attributes, **bias}))
    outputs = {name: replacement.get(value, value) for name, value in graph.outputs.items()}
    return replace(graph, nodes=tuple(nodes), outputs=outputs, source=None)
