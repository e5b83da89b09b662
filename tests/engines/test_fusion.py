"""Which nodes run as one step, and in which order."""

from __future__ import annotations

import pytest
from small_networks import classifier, every_operation, small_plain, small_resnet

from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.engines.numba.plan.fusion import fuse
from fcpts_ref.graphs.graph import Graph, Node


def names(graph):
    return [tuple(node.name for node in group.nodes) for group in fuse(graph)]


@pytest.mark.parametrize(
    "graph", [small_resnet("A"), small_resnet("B"), small_plain(), every_operation(), resnet(20)]
)
def test_every_node_once_and_inputs_first(graph):
    groups = fuse(graph)
    assert sorted(n for group in names(graph) for n in group) == sorted(n.name for n in graph.nodes)
    known = {"images"}
    for group in groups:
        assert set(group.inputs) <= known
        known.add(group.output)
    assert groups[-1].output == graph.nodes[-1].name


def test_a_residual_block_with_a_shortcut_of_option_a():
    """The second convolution waits until its shortcut is there, then the join follows at once."""
    found = names(small_resnet("A"))
    block = [group for group in found if group[0].startswith("layer2.0")]
    assert block == [
        ("layer2.0.conv1",),
        ("layer2.0.bn1", "layer2.0.relu1"),
        ("layer2.0.shortcut.subsample", "layer2.0.shortcut.pad"),
        ("layer2.0.conv2",),
        ("layer2.0.bn2", "layer2.0.add", "layer2.0.relu2"),
    ]


def test_only_one_of_two_batch_norms_takes_the_addition():
    block = [group for group in names(small_resnet("B")) if group[0].startswith("layer2.0")]
    assert block[-1] == ("layer2.0.bn2", "layer2.0.add", "layer2.0.relu2")
    assert ("layer2.0.downsample.1",) in block


def test_a_value_with_two_readers_is_not_swallowed():
    n = Node
    graph = classifier(
        "two readers",
        (2, 4, 4),
        (
            n("bn", "batch_norm", ("images",), {"channels": 2}),
            n("relu", "relu", ("bn",)),
            n("sum", "add", ("relu", "bn")),
        ),
    )
    assert names(graph) == [("bn",), ("relu",), ("sum",)]


def conv_and_batch_norm(*more: Node) -> Graph:
    n = Node
    attributes = {"in_channels": 2, "out_channels": 2, "kernel": 1}
    first = (
        n("conv", "convolution", ("images",), attributes),
        n("bn", "batch_norm", ("conv",), {"channels": 2}),
    )
    return classifier("two", (2, 4, 4), (*first, *more))


def test_a_convolution_is_the_producer_of_the_batch_norm_that_alone_reads_it():
    assert [group.producer for group in fuse(conv_and_batch_norm())] == [None, "conv"]


@pytest.mark.parametrize(
    "more",
    [
        (Node("sum", "add", ("bn", "conv")),),  # the batch norm's own residual
        (Node("relu", "relu", ("conv",)), Node("sum", "add", ("bn", "relu"))),
    ],
)
def test_a_convolution_that_others_read_is_no_producer(more):
    assert all(group.producer is None for group in fuse(conv_and_batch_norm(*more)))


def test_a_convolution_whose_value_is_an_output_is_no_producer():
    graph = conv_and_batch_norm()
    outputs = {"logits": "bn", "features": "conv"}
    groups = fuse(Graph("two", graph.inputs, graph.nodes, outputs))
    assert all(group.producer is None for group in groups)
