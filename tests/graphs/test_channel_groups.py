"""Topological grouping."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from random_graphs import OPERATIONS, graphs
from small_networks import classifier

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.builder import GraphBuilder
from fcpts_ref.graphs.channel_groups import ChannelGroups, find_groups
from fcpts_ref.graphs.graph import Graph, Node

CHANNELS = (*OPERATIONS, "depthwise", "grouped", "add_parameter")


@pytest.mark.parametrize(
    ("graph", "count"),
    [
        (resnet(20, shortcut="B"), 12),
        (resnet(56, shortcut="B"), 30),
        (resnet(20, shortcut="A"), 12),
        (ARCHITECTURES["resnet18"].graph(), 12),
        (ARCHITECTURES["resnet18_cifar"].graph(), 12),
    ],
    ids=["resnet20", "resnet56", "option A", "resnet18", "resnet18_cifar"],
)
def test_residual_networks(graph: Graph, count: int) -> None:
    """The counts of the published code: one group a stage, one for each inner convolution."""
    assert len(find_groups(graph).groups) == count


def test_members_of_a_stage() -> None:
    groups = find_groups(resnet(20, shortcut="B"))
    stage = groups["layer2.0.conv2"]
    assert stage.layers == (
        "layer2.0.conv2", "layer2.0.downsample.0", "layer2.1.conv2", "layer2.2.conv2",
    )  # fmt: skip
    assert stage.units == stage.channels == 32
    assert groups["layer2.1.conv1"].layers == ("layer2.1.conv1",)
    assert set(groups.refused) == {"fc"}
    assert groups.refused["fc"] == "they are the network's output"


def test_padded_shortcuts_nest_the_groups() -> None:
    groups = find_groups(resnet(20, shortcut="A"))
    assert {g.name: g.units for g in groups.groups if len(g.layers) > 1} == {
        "conv1": 16, "layer2.0.conv2": 16, "layer3.0.conv2": 32,
    }  # fmt: skip
    inner = groups["conv1"].slots["layer2.0.conv2"]
    assert inner.ravel().tolist() == list(range(8, 24))
    outer = groups["layer2.0.conv2"].slots["layer2.0.conv2"].ravel()
    assert outer.tolist() == [*range(8), *range(24, 32)]


def test_depthwise_convolutions_follow_their_input() -> None:
    groups = find_groups(ARCHITECTURES["mobilenet_v2"].graph(input_shape=(3, 32, 32)))
    first = groups.groups[0]
    assert len(first.layers) == 2
    assert first.units == 32


def test_grouped_convolutions_lose_whole_groups() -> None:
    groups = find_groups(ARCHITECTURES["regnet_x_200mf"].graph(input_shape=(3, 32, 32)))
    grouped = [g for g in groups.groups if g.slots[g.layers[0]].shape[1] == 8]
    assert grouped
    for group in grouped:
        assert len(group.layers) == 2
        assert group.channels == 8 * group.units


def test_squeeze_and_excitation() -> None:
    """The scales of the channels are one group with the channels; the squeezed ones are another."""
    net = GraphBuilder("se", (3, 8, 8))
    x = net.add("convolution", net.images, name="conv", out_channels=6, kernel=3)
    x = net.add("relu", net.add("batch_norm", x))
    s = net.add("mean", x, axes=(1, 2))
    s = net.add("silu", net.add("convolution", s, name="down", out_channels=2, kernel=1, bias=True))
    s = net.add("sigmoid", net.add("convolution", s, name="up", out_channels=6, kernel=1))
    x = net.add("multiply", x, s)
    x = net.add("global_average_pool", x)
    groups = find_groups(net.graph(net.add("linear", x, name="fc", out_features=3)))
    assert [g.layers for g in groups.groups] == [("conv", "up"), ("down",)]


def test_a_channel_that_is_not_zero_where_it_is_read_is_refused() -> None:
    net = GraphBuilder("gated", (3, 8, 8))
    x = net.add("convolution", net.images, name="conv", out_channels=6, kernel=3)
    x = net.add("sigmoid", x)
    x = net.add("convolution", x, name="next", out_channels=4, kernel=3)
    groups = find_groups(net.graph(net.add("linear", net.add("flatten", x), out_features=3)))
    assert groups.refused["conv"] == "they are not 0 where next reads them"
    assert [g.name for g in groups.groups] == ["next"]


def test_concatenations_and_slices_are_followed_by_offsets() -> None:
    net = GraphBuilder("halves", (3, 8, 8))
    a = net.add("convolution", net.images, name="a", out_channels=4, kernel=1)
    b = net.add("convolution", net.images, name="b", out_channels=5, kernel=1)
    x = net.add("concat", a, b, axis=0)
    left = net.add("slice", x, name="left", axis=0, start=0, stop=6)
    right = net.add("slice", x, name="right", axis=0, start=6, stop=9)
    left = net.add("convolution", left, name="c", out_channels=2, kernel=1)
    right = net.add("convolution", right, name="d", out_channels=2, kernel=1)
    x = net.add("global_average_pool", net.add("add", left, right))
    groups = find_groups(net.graph(net.add("linear", x, out_features=3)))
    assert [(g.name, g.units, g.layers) for g in groups.groups] == [
        ("a", 4, ("a",)), ("b", 2, ("b",)), ("b#2", 3, ("b",)), ("c", 2, ("c", "d")),
    ]  # fmt: skip
    assert groups["b"].slots["left"].ravel().tolist() == [4, 5]
    assert groups["b#2"].slots["right"].ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["vit_b_16", "deit_tiny"])
def test_transformers_are_refused_with_a_reason(name: str) -> None:
    groups = find_groups(ARCHITECTURES[name].graph())
    assert groups.groups == ()
    assert groups.refused["conv_proj"] == "transpose tokens reads all of them together"
    assert all(groups.refused.values())


def test_one_channel_for_all_is_refused() -> None:
    net = GraphBuilder("attention", (3, 8, 8))
    x = net.add("convolution", net.images, name="conv", out_channels=4, kernel=1)
    gate = net.add("sigmoid", net.add("convolution", x, name="gate", out_channels=1, kernel=1))
    x = net.add("flatten", net.add("multiply", x, gate, name="scaled"))
    groups = find_groups(net.graph(net.add("linear", x, out_features=3)))
    assert groups.refused["gate"] == "multiply scaled spreads the only one over several channels"
    assert [g.name for g in groups.groups] == ["conv"]


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (
            Node("soft", "softmax", ("conv",), {"axis": 0}),
            "softmax soft reads all of them together",
        ),
        (Node("norm", "layer_norm", ("conv",), {"shape": (4, 8, 8)}), "layer_norm norm cannot"),
        (
            Node("odd", "slice", ("conv",), {"axis": 0, "start": 0, "stop": 4, "step": 2}),
            "slice odd cannot lose channels",
        ),
    ],
)
def test_operations_that_read_all_channels(node: Node, reason: str) -> None:
    sizes = {"in_channels": 3, "out_channels": 4, "kernel": 1}
    after = 2 if node.name == "odd" else 4
    last = {"in_features": after * 64, "out_features": 2}
    nodes = (
        Node("conv", "convolution", ("images",), sizes),
        node,
        Node("flat", "flatten", (node.name,)),
        Node("fc", "linear", ("flat",), last),
    )
    assert reason in find_groups(classifier("net", (3, 8, 8), nodes)).refused["conv"]


def test_an_unknown_group() -> None:
    with pytest.raises(InputError, match="no group 'fc'; expected one of conv1, layer1"):
        find_groups(resnet(8))["fc"]


def channels_of(groups: ChannelGroups) -> Iterator[tuple[str, int]]:
    for group in groups.groups:
        for value, slots in group.slots.items():
            yield from ((value, channel) for channel in slots.ravel().tolist())


@given(graphs(CHANNELS[:-1], classes=4))
def test_groups_partition_the_channels(graph: Graph) -> None:
    """No channel is in two groups; every output of a layer is in one, or the layer is refused."""
    groups = find_groups(graph)
    found = list(channels_of(groups))
    assert len(found) == len(set(found))
    grouped = set(found)
    for node in graph.nodes:
        if node.operation in ("convolution", "linear"):
            outputs = {(node.name, channel) for channel in range(graph.shapes[node.name][0])}
            assert outputs <= grouped or node.name in groups.refused
    for group in groups.groups:
        assert group.units == len({tuple(row) for row in group.slots[group.layers[0]].tolist()})
        assert np.all(np.diff(group.slots[group.layers[0]][:, 0]) > 0)
