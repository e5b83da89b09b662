"""Topological grouping: the channels of a network that can only be removed together.

A convolution's output channel c lives on in the values after it: batch norm, activation, the sum
with a shortcut.  Wherever an operation carries a channel on (``Operation.channels``) both are tied.
Tied channels are one *unit*: removing one removes all.  Units that occur in the same values form a
*group*, with one keep ratio (Ning et al., 2020, arXiv:2004.02164, "topological grouping").

- Convolutions whose outputs meet in an addition share a group, and depthwise ones follow their
  input; concatenations and slices are followed through their offsets.
- A grouped convolution loses whole groups: their inputs and outputs are one unit.
- Zero padding of channels (shortcut A) nests the groups: the channels of a narrow stage are tied to
  those in the middle of the wider one, whose other channels form a group of their own.
- The network's inputs and outputs are never removed, so the last linear layer never is.

Channels that cannot be removed are refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_rules import ChannelRules, mixes_inputs, rules_of
from fcpts_ref.graphs.graph import Graph

Slots = NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Channels with one keep ratio, in units that are kept or removed as a whole.

    name: of its first layer.  layers: the convolutions and linear layers whose outputs they are, in
    the order of the nodes.  slots: for every value in which the units occur, its channels of each
    unit (units, n), by the value's name.
    """

    name: str
    layers: tuple[str, ...]
    slots: Mapping[str, Slots]

    @property
    def units(self) -> int:
        """The number of units; channels, unless the first layer has several of each unit."""
        return len(next(iter(self.slots.values())))

    @property
    def channels(self) -> int:
        """The number of channels of the first layer that belong to the group."""
        return self.slots[self.layers[0]].size


@dataclass(frozen=True)
class ChannelGroups:
    """The groups of a graph in the order of their first layers, and the refusals.

    refused: for every convolution or linear layer with outputs that cannot be removed, the reason.
    """

    groups: tuple[Group, ...]
    refused: Mapping[str, str]

    def __getitem__(self, name: str) -> Group:
        """Return the group of that name.  Raises InputError for an unknown one."""
        for group in self.groups:
            if group.name == name:
                return group
        raise InputError(
            f"there is no group {name!r}; expected one of "
            + ", ".join(group.name for group in self.groups)
        )


def find_groups(graph: Graph) -> ChannelGroups:
    """Return the groups of channels that can be removed from a graph."""
    offsets = _offsets(graph)
    rules = rules_of(graph)
    unit_of = _units(graph, rules, offsets)
    reasons: dict[int, str] = {}  # the first one, by unit
    for value, channels, reason in rules.fixed:
        for unit in np.unique(unit_of[offsets[value] + channels]).tolist():
            reasons.setdefault(unit, reason)
    return ChannelGroups(
        _groups(graph, offsets, unit_of, reasons), _refused(graph, offsets, unit_of, reasons)
    )


def _offsets(graph: Graph) -> dict[str, int]:
    """The number of each value's first channel when all channels of all values are numbered."""
    sizes = [shape[0] for shape in graph.shapes.values()]
    starts = np.cumsum([0, *sizes])[:-1].tolist()
    return dict(zip(graph.shapes, starts, strict=True))


def _units(graph: Graph, rules: ChannelRules, offsets: Mapping[str, int]) -> Slots:
    """The unit of every channel of every value."""
    total = sum(shape[0] for shape in graph.shapes.values())
    pairs = [
        np.stack([offsets[one] + ones, offsets[other] + others])
        for one, ones, other, others in rules.ties
    ]
    first, second = np.concatenate([np.empty((2, 0), np.int64), *pairs], axis=1)
    tied = coo_array((np.ones(len(first), np.bool_), (first, second)), (total, total))
    return np.asarray(connected_components(tied, directed=False)[1], np.int64)


def _groups(
    graph: Graph, offsets: Mapping[str, int], unit_of: Slots, reasons: Mapping[int, str]
) -> tuple[Group, ...]:
    """Units that occur in the same values, as often, form a group."""
    layers = {node.name for node in graph.nodes if _has_weights(node)}
    members: dict[int, list[tuple[str, Slots]]] = {}
    for value, shape in graph.shapes.items():
        own = unit_of[offsets[value] : offsets[value] + shape[0]]
        order = np.argsort(own, kind="stable")
        units, starts = np.unique(own[order], return_index=True)
        for unit, slots in zip(units.tolist(), np.split(order, starts[1:]), strict=True):
            if unit not in reasons:
                members.setdefault(unit, []).append((value, slots))
    alike: dict[tuple[tuple[str, int], ...], list[list[tuple[str, Slots]]]] = {}
    for found in members.values():  # in the order of the values that they first occur in
        if any(value in layers for value, _ in found):
            signature = tuple((value, len(slots)) for value, slots in found)
            alike.setdefault(signature, []).append(found)
    return _named([_joined(units, layers) for units in alike.values()], graph)


def _joined(units: list[list[tuple[str, Slots]]], layers: set[str]) -> Group:
    """The group of units that occur in the same values, ordered by their first channel."""
    units = sorted(units, key=lambda unit: int(unit[0][1][0]))
    values = [value for value, _ in units[0]]
    slots = {v: np.stack([unit[i][1] for unit in units]) for i, v in enumerate(values)}
    members = tuple(value for value in values if value in layers)
    return Group(members[0], members, slots)


def _named(groups: list[Group], graph: Graph) -> tuple[Group, ...]:
    """Groups in the order of their first layers; a layer's second group is called LAYER#2."""
    order = {name: i for i, name in enumerate(graph.shapes)}
    result: list[Group] = []
    counts: dict[str, int] = {}
    for group in sorted(groups, key=lambda g: (order[g.name], int(g.slots[g.name][0, 0]))):
        counts[group.name] = number = counts.get(group.name, 0) + 1
        name = group.name if number == 1 else f"{group.name}#{number}"
        result.append(Group(name, group.layers, group.slots))
    return tuple(result)


def _refused(
    graph: Graph, offsets: Mapping[str, int], unit_of: Slots, reasons: Mapping[int, str]
) -> dict[str, str]:
    found = {}
    for node in graph.nodes:
        if _has_weights(node):
            start = offsets[node.name]
            units = np.unique(unit_of[start : start + graph.shapes[node.name][0]])
            why = [reasons[unit] for unit in units.tolist() if unit in reasons]
            if why:
                found[node.name] = why[0]
    return found


def _has_weights(node: Any) -> bool:
    return mixes_inputs(node) or node.operation == "convolution"
