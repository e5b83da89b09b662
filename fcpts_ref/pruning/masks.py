"""Allocations and masks of a problem: within its bounds, on its budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.graphs.network import Network
from fcpts_ref.pruning.problem import Problem
from fcpts_ref.spec.allocation import SCORES, Allocation, allocate
from fcpts_ref.spec.bounds import shares_within
from fcpts_ref.spec.budget import budget, exact_masks

Array = NDArray[Any]


def allocate_within(name: str, problem: Problem) -> Allocation:
    """Return the allocation of that name at the problem's target, within the layers' bounds.

    The largest weight of every layer is kept; the next weights of other layers are pruned instead.
    Raises InputError as ``allocate`` does.
    """
    units = problem.weights
    if name in SCORES:  # the others use only the shapes of the weights
        units = problem.magnitudes(problem.network.parameters)
    if not problem.narrow:
        return allocate(name, units, problem.target, keep_largest=True)
    dense: set[str] = set()
    sizes = problem.sizes

    def share(layers: tuple[str, ...], count: int) -> dict[str, float]:
        some = {layer: units[layer] for layer in layers}
        size = sum(sizes[layer] for layer in layers)
        found = allocate(name, some, max(count, 0) / size, keep_largest=True)
        dense.update(found.dense)
        return {layer: rate * sizes[layer] for layer, rate in found.rates.items()}

    count = budget(problem.target, sum(sizes.values()))
    lowest, highest = (sum(bound[i] for bound in problem.bounds.values()) for i in (0, 1))
    counts = shares_within(share, problem.bounds, min(max(count, lowest), highest))
    rates = {layer: count / problem.sizes[layer] for layer, count in counts.items()}
    return Allocation(rates, tuple(n for n in counts if n in dense and counts[n] == 0))


def final_masks(
    problem: Problem, parameters: Mapping[str, Array], thresholds: Mapping[str, float]
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, float]]:
    """Return masks of all prunable layers that meet the budget, and each layer's new threshold.

    thresholds: of the layers to prune; those that stay dense keep every weight, at threshold 0.
    A layer's new threshold is its largest pruned magnitude.
    The budget is met exactly; if costs differ, by the fewest units that reach it.
    """
    units = problem.magnitudes(parameters)
    bounds = problem.bounds if problem.narrow else None
    kept = exact_masks(units, thresholds, problem.count, bounds, problem.costs)
    masks, reached = {}, {}
    for name in problem.network.graph.prunable:
        shape = parameters[name].shape
        masks[name] = np.ones(shape, np.bool_)
        reached[name] = 0.0
        if name in kept:
            masks[name] = problem.unit.expand(kept[name], shape)
            reached[name] = float(np.abs(units[name][~kept[name]]).max(initial=0))
    return masks, reached


def left_out(problem: Problem) -> tuple[str, ...]:
    """Return the names of the prunable weights that stay dense."""
    return tuple(name for name in problem.network.graph.prunable if name not in problem.bounds)


def masked_network(network: Network, masks: Mapping[str, NDArray[np.bool_]]) -> Network:
    """Return the network with its pruned weights set to exactly 0 and the masks attached."""
    weights = {
        name: np.where(mask, network.parameters[name], network.dtype.type(0))
        for name, mask in masks.items()
    }
    return Network(
        network.graph, {**network.parameters, **weights}, dict(network.buffers), dict(masks)
    )


def mask_thresholds(
    weights: Mapping[str, Array], masks: Mapping[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """Return the largest pruned magnitude of every layer; 0 for a layer without pruned weights."""
    return {
        name: float(np.abs(weights[name][~mask]).max(initial=0)) for name, mask in masks.items()
    }


def mask_rates(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
    """Return the share of pruned weights of every layer."""
    return {name: 1 - np.count_nonzero(mask) / mask.size for name, mask in masks.items()}
