"""Sparsity allocations: the classic ways to distribute a global sparsity rate over the layers.

Each takes the prunable weights by name and the global target rate, and returns the rate of every
layer.  Rates are shares of pruned weights (not of kept ones), first and last layer included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import floating_array
from fcpts_ref.errors import InputError, counted
from fcpts_ref.spec.budget import budget

Array = NDArray[Any]
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Allocation:
    """The sparsity rate of every layer.

    sum(round(rate * size)) is the global budget round(target * N) to within one weight per layer.

    rates: by the name of the weight, in [0, 1).  dense: the layers held at rate 0, if any.
    """

    rates: dict[str, float]
    dense: tuple[str, ...] = ()


def uniform(weights: Weights, target: float) -> Allocation:
    """The same rate for every layer."""
    return Allocation({name: float(target) for name in weights})


def erk(
    weights: Weights, target: float, *, power: float = 1.0, whole_weights: bool = False
) -> Allocation:
    """Erdos-Renyi-kernel (Evci et al., "Rigging the Lottery", 2020, section 3).

    The density of a layer is proportional to (sum(shape) / prod(shape)) ** power.  Layers that
    would exceed density 1 are kept dense and the others take their share, until none does.
    whole_weights: the share to keep is counted layer by layer as N - floor(target N).
    """
    raw = {name: (sum(w.shape) / w.size) ** power for name, w in weights.items()}
    sizes = [w.size for w in weights.values()]
    kept = (1 - target) * sum(sizes)
    if whole_weights:
        kept = float(sum(size - math.floor(target * size) for size in sizes))
    dense: set[str] = set()
    while True:
        free = [name for name in weights if name not in dense]
        kept_free = kept - sum(weights[name].size for name in dense)
        if not free:
            break
        scale = kept_free / sum(raw[name] * weights[name].size for name in free)
        largest = max(raw[name] for name in free)
        if scale * largest <= 1:
            break
        dense |= {name for name in free if raw[name] == largest}
    rates = {name: 0.0 if name in dense else 1 - scale * raw[name] for name in weights}
    return Allocation(rates, tuple(name for name in weights if name in dense))


def erk_floor(weights: Weights, target: float) -> Allocation:
    """ERK of whole weights, as in the authors' code (convention 8).

    Its global rate is below the target by less than one weight a layer.
    """
    return erk(weights, target, whole_weights=True)


def global_magnitude(weights: Weights, target: float) -> Allocation:
    """Prune the smallest |w| of the whole network."""
    return _by_score(weights, target, SCORES["global"])


def l1_norm(weights: Weights, target: float) -> Allocation:
    """Prune the smallest |w| / ||W||_1, the norm taken over the layer."""
    return _by_score(weights, target, SCORES["l1norm"])


def l2_norm(weights: Weights, target: float) -> Allocation:
    """Prune the smallest |w| / ||W||_2, as in POT (Lazarevich et al., 2021)."""
    return _by_score(weights, target, SCORES["l2norm"])


def lamp(weights: Weights, target: float) -> Allocation:
    """Layer-adaptive magnitude (Lee et al., LAMP, 2021, equation 4).

    The score of a weight is w^2 over the sum of the squares of all weights of its layer that are
    not smaller.  The largest weight of a layer scores 1, so no layer is ever emptied.
    """
    return _by_score(weights, target, SCORES["lamp"])


ALLOCATIONS: dict[str, Callable[[Weights, float], Allocation]] = {
    "uniform": uniform,
    "erk": erk,
    "erkfloor": erk_floor,
    "l2norm": l2_norm,
    "l1norm": l1_norm,
    "global": global_magnitude,
    "lamp": lamp,
}


def allocate(
    name: str, weights: Weights, target: float, *, keep_largest: bool = False
) -> Allocation:
    """Compute the named allocation, with its arguments and result checked.

    keep_largest: allocations by score keep the largest weight of every layer and prune the next
    weights in the order instead, so that no layer is emptied.
    Raises InputError for an unknown name, a target outside [0, 1), weights that are not finite,
    no weights at all, or a target so high that a layer would lose all its weights.
    """
    if not isinstance(name, str) or name not in ALLOCATIONS:
        shown = repr(name) if isinstance(name, str) else f"of type {type(name).__name__}"
        raise InputError(f"unknown allocation {shown}; expected one of {', '.join(ALLOCATIONS)}")
    if not isinstance(weights, Mapping) or not weights:
        raise InputError("there are no weights to prune; expected at least one layer by its name")
    weights = {layer: floating_array(w, f"weight {layer!r}") for layer, w in weights.items()}
    for layer, weight in weights.items():
        if weight.size == 0 or not np.isfinite(weight).all():
            raise InputError(
                f"weight {layer!r} (shape {weight.shape}) is empty or holds NaN or infinity; "
                "expected finite numbers"
            )
    budget(target, sum(w.size for w in weights.values()))
    if keep_largest and name in SCORES:
        allocation = _by_score(weights, target, SCORES[name], keep_largest=True)
    else:
        allocation = ALLOCATIONS[name](weights, target)
    for layer, rate in allocation.rates.items():
        size = weights[layer].size
        if round(rate * size) >= size:
            raise InputError(
                f"{name} at target {target} would prune all {counted(size, 'weight')} of "
                f"{layer!r}; use a lower target or another allocation (erk, uniform)"
            )
    return allocation


def _by_score(
    weights: Weights, target: float, score: Callable[[Array], Array], *, keep_largest: bool = False
) -> Allocation:
    """Prune the round(target * N) weights of the lowest scores; ties in the order of the layers.

    keep_largest: the weight of the highest score in each layer, the first if tied, is pruned last.
    """
    parts = [score(w.astype(np.float64)).ravel() for w in weights.values()]
    if keep_largest:
        for part in parts:
            part[np.argmax(part)] = np.inf
    scores = np.concatenate(parts)
    layer = np.repeat(np.arange(len(weights)), [w.size for w in weights.values()])
    pruned = np.argsort(scores, kind="stable")[: budget(target, scores.size)]
    counts = np.bincount(layer[pruned], minlength=len(weights))
    rates = {name: int(n) / w.size for (name, w), n in zip(weights.items(), counts, strict=True)}
    return Allocation(rates)


def _normed(magnitude: Array, norm: Any) -> Array:
    return magnitude / norm if norm > 0 else magnitude  # a layer of zeros scores 0


def _lamp_scores(weight: Array) -> Array:
    squares = weight.ravel() ** 2
    order = np.argsort(squares, kind="stable")
    suffix = np.cumsum(squares[order][::-1])[::-1]  # summed from the end: precise for the largest
    scores = np.empty_like(squares)
    scores[order] = np.divide(squares[order], suffix, out=np.zeros_like(suffix), where=suffix > 0)
    return scores


SCORES: dict[str, Callable[[Array], Array]] = {
    "global": np.abs,
    "l1norm": lambda w: _normed(np.abs(w), np.abs(w).sum()),
    "l2norm": lambda w: _normed(np.abs(w), np.sqrt((w * w).sum())),
    "lamp": _lamp_scores,
}
"""The scores of a layer's weights, in float64, by the name of the allocation."""
