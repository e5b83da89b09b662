"""Folding batch norm: the same function from fewer layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_networks import (
    classifier,
    every_operation,
    make_images,
    make_network,
    small_plain,
    small_resnet,
)

from fcpts_ref.graphs.fold import fold_batch_norm
from fcpts_ref.graphs.graph import Graph, Node

GRAPHS = {
    "resnet A": small_resnet("A"),
    "resnet B": small_resnet("B"),
    "plain": small_plain(),
    "everything": every_operation(),
}


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_folded_network_is_the_same_function(graph: Graph) -> None:
    network = make_network(graph)
    images = make_images(graph)
    folded = fold_batch_norm(network)
    assert np.abs(folded(images) - network(images)).max() <= 1e-10
    assert not any(node.operation == "batch_norm" for node in folded.graph.nodes)
    assert folded.graph.prunable == graph.prunable
    assert folded.sizes == network.sizes


def test_weights_and_biases_are_those_of_the_formula() -> None:
    network = make_network(small_resnet())
    folded = fold_batch_norm(network)
    p, b = network.parameters, network.buffers
    scale = p["bn1.weight"] / np.sqrt(b["bn1.running_var"] + 1e-5)
    bias = p["bn1.bias"] - b["bn1.running_mean"] * scale
    for k in range(3):
        expected = scale[k] * p["conv1.weight"][k]
        assert np.abs(folded.parameters["conv1.weight"][k] - expected).max() <= 1e-14
    assert np.abs(folded.parameters["conv1.bias"] - bias).max() <= 1e-14


def test_existing_bias_is_scaled() -> None:
    network = make_network(every_operation())
    folded = fold_batch_norm(network)
    p, b = network.parameters, network.buffers
    scale = p["bn.weight"] / np.sqrt(b["bn.running_var"] + 1e-3)  # the node's own epsilon
    expected = (p["conv.bias"] - b["bn.running_mean"]) * scale + p["bn.bias"]
    assert np.abs(folded.parameters["conv.bias"] - expected).max() <= 1e-14


def test_nothing_to_fold_changes_nothing() -> None:
    network = make_network(small_plain(batch_norm=False))
    folded = fold_batch_norm(network)
    assert folded.graph == network.graph
    assert all(folded.parameters[n] is network.parameters[n] for n in network.parameters)


def _convolution(name: str, source: str, channels: int = 2) -> Node:
    attributes: dict[str, Any] = {"in_channels": channels, "out_channels": 2, "kernel": 1}
    return Node(name, "convolution", (source,), attributes)


def test_batch_norm_that_cannot_be_folded_stays() -> None:
    norm = {"channels": 2}
    graph = classifier(
        "stays",
        (2, 4, 4),
        (
            Node("bn0", "batch_norm", ("images",), norm),  # behind no convolution
            _convolution("conv1", "bn0"),
            Node("bn1", "batch_norm", ("conv1",), norm),  # others read conv1 too
            Node("join", "add", ("bn1", "conv1")),
            _convolution("conv2", "join"),
            Node("relu", "relu", ("conv2",)),
            Node("bn2", "batch_norm", ("relu",), norm),  # not directly behind
            Node("pool", "global_average_pool", ("bn2",)),
        ),
    )
    network = make_network(graph)
    folded = fold_batch_norm(network)
    assert folded.graph == graph
    images = make_images(graph)
    assert np.array_equal(folded(images), network(images))


def test_dtype_and_masks_stay() -> None:
    network = make_network(small_resnet(), dtype=np.float32)
    mask = np.zeros(network.parameters["conv1.weight"].shape, dtype=np.bool_)
    pruned = {**network.parameters, "conv1.weight": np.zeros(mask.shape, np.float32)}
    network = replace(network, parameters=pruned, masks={"conv1.weight": mask})
    folded = fold_batch_norm(network)
    assert folded.dtype == np.float32
    assert folded.masks == {"conv1.weight": mask}
    assert not folded.parameters["conv1.weight"].any()
