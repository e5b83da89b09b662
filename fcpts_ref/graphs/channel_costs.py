"""The cost of a graph's layers by the keep ratios of its channel groups."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_groups import ChannelGroups
from fcpts_ref.graphs.channel_rules import mixes_inputs
from fcpts_ref.graphs.graph import Graph, macs
from fcpts_ref.spec.channel_budget import ChannelCosts

Array = NDArray[Any]


def channel_costs(graph: Graph, groups: ChannelGroups, cost: str = "macs") -> ChannelCosts:
    """Return A, B and c of the cost of all convolutions and linear layers.

    cost: "macs" counts the multiply-accumulates of one image, "weights" the weights.
    Where alpha are shares of kept units, F(alpha) is the count of the network without the others.
    Raises InputError for another cost.
    """
    if cost not in ("weights", "macs"):
        raise InputError(f"cost is {cost!r}; expected 'weights' or 'macs'")
    shapes = {name: graph.parameter_shapes[name] for name in graph.prunable}
    whole = macs(graph) if cost == "macs" else {n: math.prod(s) for n, s in shapes.items()}
    G = len(groups.groups)
    pairs, single, fixed = np.zeros((G, G)), np.zeros(G), 0.0
    for node in graph.nodes:
        for name in (n for n, stored in node.stored.items() if stored.role == "weight"):
            makes, rest = _shares(graph, groups, node.name)
            single += whole[name] * makes * (not mixes_inputs(node))
            if mixes_inputs(node):
                reads, others = _shares(graph, groups, node.inputs[0])
                pairs += whole[name] * np.outer(reads, makes)
                single += whole[name] * (others * makes + rest * reads)
                rest *= others
            fixed += whole[name] * rest
    return ChannelCosts(pairs, single, float(fixed))


def _shares(graph: Graph, groups: ChannelGroups, value: str) -> tuple[Array, float]:
    """The share of a value's channels that each group has, (G,), and that none has."""
    count = graph.shapes[value][0]
    own = [group.slots[value].size if value in group.slots else 0 for group in groups.groups]
    return np.array(own, np.float64) / count, (count - sum(own)) / count
