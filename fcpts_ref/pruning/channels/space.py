"""What methods that remove channels choose from: groups, their cost, and the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError
from fcpts_ref.graphs.channel_costs import channel_costs
from fcpts_ref.graphs.channel_groups import ChannelGroups, Group, find_groups
from fcpts_ref.graphs.graph import Graph, Node
from fcpts_ref.pruning.channels.rules import least_units, without_dense_layers
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.pruning.units import SINGLE_WEIGHTS
from fcpts_ref.spec.channel_budget import ChannelCosts, channel_cost, check_budget
from fcpts_ref.spec.channel_pruning import filter_importance, scale_importance

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Space:
    """groups: that can lose units; costs: F of their keep ratios; budget: the most that F may be.

    least: the fewest units that each group keeps, (G,).  counted: the cost of the layers that the
    target is a share of.
    """

    graph: Graph
    groups: ChannelGroups
    costs: ChannelCosts
    budget: float
    least: Array
    counted: float

    @property
    def units(self) -> Array:
        """The number of units of each group, (G,)."""
        return np.array([group.units for group in self.groups.groups], np.float64)

    @property
    def lowest(self) -> Array:
        """The least keep ratio of each group, (G,)."""
        return self.least / self.units

    def rate(self, ratios: Array) -> float:
        """Return the share of the counted cost that keep ratios (G,) save."""
        return float((self.costs.whole - channel_cost(ratios, self.costs)) / self.counted)

    def by_name(self, masks: Sequence[Mask]) -> dict[str, Mask]:
        """Return the groups' masks by the groups' names."""
        return {g.name: mask for g, mask in zip(self.groups.groups, masks, strict=True)}


def space_of(problem: Problem, name: str) -> Space:
    """Return the space of a problem whose target is a share of its cost.

    Groups that a dense layer makes or reads are left out; caps of layers bound their groups.
    name: of the method, for errors.  Raises InputError for a network without groups, layers of a
    fixed rate, another unit than weights, and a target that no channels reach.
    """
    graph = problem.network.graph
    if problem.unit is not SINGLE_WEIGHTS:
        raise InputError(
            f"{name} removes channels of whole groups; leave granularity at its default, weight"
        )
    if not problem.target > 0:
        raise InputError(f"target is {problem.target}; {name} needs a share above 0 to remove")
    groups = find_groups(graph)
    if not groups.groups:
        layer, why = next(iter(groups.refused.items()))
        raise InputError(
            f"{name} can remove no channel of network {graph.name!r}: those of {layer} stay, "
            f"because {why}"
        )
    groups = without_dense_layers(graph, groups, problem.prunable, name)
    costs = channel_costs(graph, groups, problem.cost)
    dense = [n for n in graph.prunable if n not in problem.prunable]
    counted = float(problem.totals.sum()) if dense else costs.whole
    budget = costs.whole - problem.target * counted if dense else (1 - problem.target) * costs.whole
    least = least_units(graph, groups, problem, name)
    space = Space(graph, groups, costs, budget, least, counted)
    check_budget(costs, space.budget, space.lowest)
    return space


def importances(graph: Graph, parameters: Arrays, group: Group, kind: str) -> list[Array]:
    """Return the importance of a group's units by each of its layers, (units,) each.

    kind: "scale" takes |gamma| of the batch norm that reads the layer, where there is one; "filter"
    the mean |w| of a filter.  A unit of several channels has their mean.
    """
    found = []
    for layer in group.layers:
        norm = following_norm(graph, layer) if kind == "scale" else None
        if norm is not None:
            own = scale_importance(parameters[f"{norm.name}.weight"])
        else:
            own = filter_importance(parameters[f"{layer}.weight"])
        found.append(own[group.slots[layer]].mean(axis=1))
    return found


def following_norm(graph: Graph, layer: str) -> Node | None:
    """Return the batch norm that alone reads a layer, if there is one."""
    readers = graph.readers[layer]
    alone = len(readers) == 1 and layer not in graph.outputs.values()
    return readers[0] if alone and readers[0].operation == "batch_norm" else None
