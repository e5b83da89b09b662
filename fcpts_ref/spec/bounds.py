"""Bounds on how many weights of a layer are pruned: capped and fixed layers in a global budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.spec.budget import factor_between

Array = NDArray[Any]
Bounds = Mapping[str, tuple[int, int]]
"""The minimum and maximum number of pruned weights by layer, both inclusive."""


def free_bounds(sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The widest bounds that empty no layer: from 0 to all weights but one."""
    return {name: (0, size - 1) for name, size in sizes.items()}


def check_bounds(bounds: Bounds, count: int) -> None:
    """Raise InputError unless ``count`` weights in all can lie within the bounds."""
    lowest, highest = (sum(bound[side] for bound in bounds.values()) for side in (0, 1))
    if not lowest <= count <= highest:
        raise InputError(
            f"the target prunes {counted(count, 'weight')}, but the layers' rates and caps allow "
            f"{lowest} to {highest}; use another target, or other rates and caps"
        )


def shares_within(
    share: Callable[[tuple[str, ...], int], Mapping[str, float]], bounds: Bounds, count: int
) -> dict[str, float]:
    """Distribute ``count`` pruned weights over the layers, within the bounds.

    Layers beyond a bound are held at it and the others share the rest, until none is beyond.  Of
    the two directions the one with the larger excess is held first, so that no layer is held
    wrongly.

    share(layers, n): the counts of an allocation of n weights over some of the layers.
    Returns the count of every layer, not rounded.
    Raises InputError if the bounds and the count contradict each other.
    """
    check_bounds(bounds, count)
    held: dict[str, float] = {}
    while len(held) < len(bounds):
        free = tuple(name for name in bounds if name not in held)
        left = count - sum(held.values())
        counts = share(free, round(left))
        over = {n: counts[n] - bounds[n][1] for n in free if counts[n] > bounds[n][1]}
        under = {n: bounds[n][0] - counts[n] for n in free if counts[n] < bounds[n][0]}
        if not over and not under:
            return {name: held[name] if name in held else counts[name] for name in bounds}
        side = sum(over.values()) >= sum(under.values())
        for name in over if side else under:
            held[name] = bounds[name][1 if side else 0]
    return {name: held[name] for name in bounds}


def bounded_thresholds(
    weights: Mapping[str, Array],
    thresholds: Array,
    count: float,
    bounds: Bounds,
    costs: Mapping[str, float] | None = None,
) -> Array:
    """Scale the thresholds by one factor, within the bounds, so that ``count`` weights are pruned.

    As in ``projection_factor``, t becomes f t; where f t is beyond a bound, the threshold at it.
    weights: by layer; thresholds: (L,) at least 0.  Returns (L,) float64.
    costs: of one weight by layer; ``count`` is then a cost, which the fewest weights reach.
    Raises InputError if the thresholds leave fewer than ``count`` weights to prune.
    """
    order = {name: np.sort(np.abs(w.astype(np.float64)), axis=None) for name, w in weights.items()}
    ratios = []
    for (name, magnitudes), t in zip(order.items(), thresholds, strict=True):
        low, high = bounds[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(magnitudes > 0, magnitudes / t, 0.0)
        ratio[:low], ratio[high:] = 0.0, np.inf
        ratios.append(ratio)
    together = np.concatenate(ratios)
    if costs is not None:
        each = np.repeat([costs[name] for name in order], [len(m) for m in order.values()])
        total = np.cumsum(each[np.argsort(together, kind="stable")])
        count = int(np.searchsorted(total, count * (1 - 1e-12))) + 1 if count > 0 else 0
    factor = factor_between(together, int(count))
    return clip_thresholds(order, factor * np.asarray(thresholds, np.float64), bounds)


def clip_thresholds(weights: Mapping[str, Array], thresholds: Array, bounds: Bounds) -> Array:
    """Move thresholds that prune too few or too many weights to the bound.  Returns (L,)."""
    result = np.array(thresholds, np.float64)
    for i, (name, weight) in enumerate(weights.items()):
        magnitudes = np.sort(np.abs(weight.astype(np.float64)), axis=None)
        low, high = (_threshold_between(magnitudes, n) for n in bounds[name])
        result[i] = np.clip(result[i], low if bounds[name][0] else 0.0, high)
    return result


def _threshold_between(magnitudes: Array, count: int) -> float:
    """The middle between the count-th smallest magnitude and the next."""
    if count == len(magnitudes):
        return float(magnitudes[-1])
    below = magnitudes[count - 1] if count else 0.0
    return float(below + (magnitudes[count] - below) / 2)
