"""Rules of layers, as rules of the groups of channels that they make and read.

A layer loses weights with the channels that it makes and with those that it reads.  One that stays
dense therefore keeps both groups whole, and one that is capped bounds the keep ratios of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_groups import ChannelGroups, Group
from fcpts_ref.graphs.channel_rules import mixes_inputs
from fcpts_ref.graphs.graph import Graph
from fcpts_ref.pruning.problem import Problem

Array = NDArray[Any]


def without_dense_layers(
    graph: Graph, groups: ChannelGroups, prunable: tuple[str, ...], name: str
) -> ChannelGroups:
    """Return the groups without those that a dense layer makes or reads.

    prunable: the weights of the other layers.  Raises InputError if no group is left.
    """
    refused, held = dict(groups.refused), set[str]()
    for weight, makes, reads in _sides(graph, groups):
        if weight not in prunable:
            held |= {group.name for group in (*makes, *reads)}
            refused |= {group.name: f"{weight} stays dense" for group in (*makes, *reads)}
    left = tuple(group for group in groups.groups if group.name not in held)
    if not left:
        raise InputError(
            f"{name} can remove no channel: every group is made or read by a layer that stays "
            "dense; keep fewer layers dense, or cap their rates"
        )
    return ChannelGroups(left, refused)


def least_units(graph: Graph, groups: ChannelGroups, problem: Problem, name: str) -> Array:
    """Return the fewest units that each group keeps, (G,): one, or more where a layer is capped.

    A layer that may lose the share r keeps at least 1 - r of its weights if each of its n sides,
    the channels that it makes and those that it reads, keeps the share (1 - r)^(1/n).
    Raises InputError for a layer of a fixed rate, which groups cannot meet.
    """
    place = {group.name: i for i, group in enumerate(groups.groups)}
    least = np.ones(len(place))
    for weight, *sides in _sides(graph, groups):
        if weight not in problem.bounds:
            continue
        low, high = problem.bounds[weight]
        if low > 0:
            raise InputError(
                f"{name} cannot fix the rate of {weight.removesuffix('.weight')}: it follows from "
                "the channels that the layer makes and reads; cap it, or keep the layer dense"
            )
        size = problem.sizes[weight]
        count = sum(bool(side) for side in sides)
        if high >= size - 1 or not count:
            continue  # free, or no channel of it can be removed
        share = (1 - high / size) ** (1 / count)
        for group in (group for side in sides for group in side):
            i = place[group.name]
            least[i] = max(least[i], np.ceil(share * group.units - 1e-9))
    return least


def _sides(
    graph: Graph, groups: ChannelGroups
) -> Iterator[tuple[str, tuple[Group, ...], tuple[Group, ...]]]:
    """Yield every weight with the groups whose channels its layer makes, and mixes as it reads."""
    for node in graph.nodes:
        for name, stored in node.stored.items():
            if stored.role == "weight":
                reads = _groups_of(groups, node.inputs[0]) if mixes_inputs(node) else ()
                yield name, _groups_of(groups, node.name), reads


def _groups_of(groups: ChannelGroups, value: str) -> tuple[Group, ...]:
    return tuple(group for group in groups.groups if value in group.slots)
