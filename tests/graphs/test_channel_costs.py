"""The cost model against counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_graphs import OPERATIONS, graphs
from small_networks import make_network

from fcpts_ref.architectures.registry import ARCHITECTURES
from fcpts_ref.architectures.resnet import resnet
from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_costs import channel_costs
from fcpts_ref.graphs.channel_groups import find_groups
from fcpts_ref.graphs.channel_removal import remove_channels
from fcpts_ref.graphs.graph import Graph, macs
from fcpts_ref.spec.channel_budget import channel_cost


def assert_counts(graph: Graph, seed: int = 0) -> None:
    """Exactly: the rounding of F is far below one multiplication."""
    groups, generator = find_groups(graph), np.random.default_rng(seed)
    keep = {}
    for group in groups.groups:
        keep[group.name] = generator.random(group.units) < 0.6
        keep[group.name][generator.integers(group.units)] = True
    alpha = np.array([mask.mean() for mask in keep.values()])
    removed = remove_channels(make_network(graph), keep, groups).graph
    weights = sum(math.prod(removed.parameter_shapes[n]) for n in removed.prunable)
    assert round(channel_cost(alpha, channel_costs(graph, groups, "weights"))) == weights
    found = channel_cost(alpha, channel_costs(graph, groups, "macs"))
    assert round(found) == sum(macs(removed).values())
    assert abs(found - round(found)) < 1e-3


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "regnet_x_200mf", "resnet18", "efficientnet_lite0", "vgg16_bn_cifar"]
)
def test_architectures(name: str) -> None:
    assert_counts(ARCHITECTURES[name].graph())


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_residual_networks_of_cifar(shortcut: str) -> None:
    assert_counts(resnet(20, shortcut=shortcut))


@given(graphs((*OPERATIONS, "depthwise", "grouped"), classes=4), st.integers(0, 2**32 - 1))
def test_random_graphs(graph: Graph, seed: int) -> None:
    assert_counts(graph, seed)


@pytest.mark.parametrize(("depth", "want"), [(20, 40.8e6), (56, 125.7e6)])
def test_published_totals(depth: int, want: float) -> None:
    """The multiply-accumulates of DSA's networks, the last layer's 640 included."""
    graph = resnet(depth, shortcut="B")
    assert channel_costs(graph, find_groups(graph)).whole == pytest.approx(want, rel=1e-3)


def test_an_unknown_cost() -> None:
    graph = resnet(8)
    with pytest.raises(InputError, match="cost is 'time'; expected 'weights' or 'macs'"):
        channel_costs(graph, find_groups(graph), "time")
