"""Exact budgets: how many weights are pruned, which ones, and the thresholds that prune them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.checks import finite_array, floating_array, real_number, whole_number
from fcpts_ref.errors import InputError, counted

Array = NDArray[Any]


class OutOfReach(InputError):
    """Thresholds that no common factor scales to the budget."""


def budget(target: float, size: int) -> int:
    """round(target * size): how many of ``size`` weights are pruned at a target rate.

    Raises InputError for a target outside [0, 1) or a size that is not a whole number >= 0.
    """
    expected = "a sparsity rate in [0, 1): the share of weights set to zero, such as "
    rate = real_number(target, "target", f"{expected}0.9")
    if not 0 <= rate < 1:
        share = f"{rate / 100:g}" if 1 < rate < 100 else "0.9"  # perhaps meant as percent
        raise InputError(f"target is {target}; expected {expected}{share}")
    return round(rate * whole_number(size, "size", 0))


def threshold_of_count(weight: Array, count: int) -> float:
    """The largest of the ``count`` smallest magnitudes (convention 8); 0 for a count of 0.

    Pruning |w| <= t removes ``count`` weights, and any others equal to the threshold.
    Raises InputError for a count outside [0, size].
    """
    weight = _checked(weight, count)
    if count == 0:
        return 0.0
    return float(np.partition(np.abs(weight), count - 1, axis=None)[count - 1])


def mask_of_count(weight: Array, count: int) -> NDArray[np.bool_]:
    """The mask (True = kept) that prunes exactly the ``count`` smallest magnitudes.

    Of equal magnitudes the first in row-major order is pruned first.
    Raises InputError for a count outside [0, size].
    """
    weight = _checked(weight, count)
    kept = np.ones(weight.size, dtype=np.bool_)
    kept[np.argsort(np.abs(weight), axis=None, kind="stable")[:count]] = False
    return kept.reshape(weight.shape)


def _checked(weight: Array, count: int) -> Array:
    array = floating_array(weight, "weight")
    if whole_number(count, "count") not in range(array.size + 1):
        raise InputError(f"count is {count}; the layer has {counted(array.size, 'weight')}")
    return array


def projection_factor(weights: Sequence[Array], thresholds: Array, count: int) -> float:
    """The factor f such that pruning |w| <= f t in every layer removes ``count`` weights in total.

    f lies halfway between the count-th smallest |w| / t over all layers and the next, so that no
    weight is at its threshold.  No factor separates equal ratios: then more or fewer than
    ``count`` weights are pruned (``exact_masks`` breaks such ties).  A layer with t = 0 loses only
    exact zeros, whatever the factor; so does the whole network if it has more zeros than
    ``count``, and f is then half the smallest ratio above 0: f never sets a threshold to 0.

    weights: one array per layer; thresholds: (L,) at least 0.  Returns a float above 0.
    Raises OutOfReach (an InputError) if the thresholds leave fewer than ``count`` weights to prune.
    """
    arrays, t = check_projection(weights, thresholds, count)
    with np.errstate(over="ignore"):  # a ratio beyond the range counts as infinite
        ratios = np.concatenate([_ratios(w, x) for w, x in zip(arrays, t, strict=True)])
    return factor_between(ratios, count)


def check_projection(
    weights: Sequence[Array], thresholds: Array, count: int
) -> tuple[list[Array], Array]:
    """Return the arguments of ``projection_factor`` as arrays.

    Raises InputError unless there is a threshold of at least 0 for each layer, all weights are
    numbers, and ``count`` is a whole number of them, but not all.
    """
    if not isinstance(weights, Sequence) or isinstance(weights, str | bytes):
        raise InputError(
            f"weights is of type {type(weights).__name__}; expected a list, one array a layer"
        )
    arrays = [floating_array(weight, f"weight {i}") for i, weight in enumerate(weights)]
    t = finite_array(thresholds, "thresholds")
    if t.shape != (len(arrays),) or (t < 0).any():
        raise InputError(
            f"thresholds have shape {t.shape} and the least of them is {t.min(initial=np.inf)}; "
            f"expected {len(arrays)}, one a layer, each at least 0"
        )
    if any(np.isnan(weight.min(initial=np.inf)) for weight in arrays):
        raise InputError("a weight is NaN; expected numbers")
    size = sum(weight.size for weight in arrays)
    if not 0 <= whole_number(count, "count") < size:
        raise InputError(f"count is {count}; expected less than all {counted(size, 'weight')}")
    return arrays, t


def factor_between(ratios: Array, count: int) -> float:
    """The midpoint of the count-th smallest ratio and the next; ``ratios`` is not changed.

    A count of 0 takes 0 as the former.  If both are 0, half the smallest ratio above 0.
    Raises OutOfReach if fewer than ``count`` ratios are finite.
    """
    if count == 0:
        lower, upper = 0.0, ratios.min()
    else:
        lower, upper = np.partition(ratios, [count - 1, count])[count - 1 : count + 1]
    if upper == 0:
        upper = ratios.min(where=ratios > 0, initial=np.inf)
    if upper == np.inf and lower == 0:
        return 1.0
    if not np.isfinite(lower):
        raise OutOfReach(
            f"only {counted(int(np.isfinite(ratios).sum()), 'weight')} in layers with a threshold "
            f"above 0; expected at least {count} to prune: use a lower target"
        )
    return float(lower + (upper - lower) / 2) if np.isfinite(upper) else float(2 * lower)


def exact_masks(
    weights: Mapping[str, Array],
    thresholds: Mapping[str, float],
    count: float,
    bounds: Mapping[str, tuple[int, int]] | None = None,
    costs: Mapping[str, float] | None = None,
) -> dict[str, NDArray[np.bool_]]:
    """Masks (True = kept) that prune exactly ``count`` weights, those of the smallest |w| / t.

    Of equal ratios the smaller |w| is pruned first (this orders layers with t = 0, whose ratios
    are all infinite); other ties are broken by the order of the layers, then row-major.  The
    largest weight of every layer, the first if tied, is kept, so that no layer is emptied.

    bounds: the minimum and maximum number of pruned weights by layer (``bounds.Bounds``); they
    take precedence over the ratios.
    costs: of one weight by layer; ``count`` is then a cost, and the fewest weights are pruned, in
    the same order, that reach it.
    Raises InputError if ``count`` leaves less than one weight to every layer.
    """
    weights, thresholds = _checked_layers(weights, thresholds)
    real_number(count, "count", "a number of weights, or their cost")
    sizes = [w.size for w in weights.values()]
    if costs is None and count > sum(sizes) - len(sizes):
        raise InputError(
            f"pruning {count} of {counted(sum(sizes), 'weight')} would empty one of the "
            f"{counted(len(sizes), 'layer')}; use a lower target"
        )
    magnitudes = np.concatenate([np.abs(w).ravel() for w in weights.values()])
    ratios = np.concatenate([_ratios(w, thresholds[name]) for name, w in weights.items()])
    ends = np.cumsum(sizes)
    precedence = np.zeros(magnitudes.size, dtype=np.int8)  # -1 is pruned first, 1 last
    for name, start, end in zip(weights, [0, *ends[:-1]], ends, strict=True):
        precedence[start + np.argmax(magnitudes[start:end])] = 1
        if bounds is not None:
            low, high = bounds[name]
            rank = np.argsort(magnitudes[start:end] + 0.0, kind="stable")
            precedence[start + rank[:low]] = -1
            precedence[start + rank[high:]] = 1
    order = np.lexsort((magnitudes, ratios, precedence))  # stable; the last key is the primary one
    kept = np.ones(order.size, dtype=np.bool_)
    if costs is not None:
        count = _count_reaching(costs, weights, order, precedence, count)
    kept[order[: int(count)]] = False
    parts = np.split(kept, ends[:-1])
    return {
        name: part.reshape(w.shape) for (name, w), part in zip(weights.items(), parts, strict=True)
    }


def _checked_layers(
    weights: Mapping[str, Array], thresholds: Mapping[str, float]
) -> tuple[dict[str, Array], dict[str, float]]:
    """Raise InputError unless both map the same layers, to arrays and to numbers of at least 0."""
    for given, name in ((weights, "weights"), (thresholds, "thresholds")):
        if not isinstance(given, Mapping) or not given:
            raise InputError(
                f"{name} is of type {type(given).__name__} or empty; expected them by layer"
            )
    arrays = {name: finite_array(w, f"weight {name!r}") for name, w in weights.items()}
    missing = [name for name in arrays if name not in thresholds]
    if missing:
        raise InputError(f"layer {missing[0]!r} has no threshold; expected one for each layer")
    expected = "a finite magnitude >= 0"
    numbers = {n: real_number(thresholds[n], f"threshold of {n!r}", expected) for n in arrays}
    if min(numbers.values()) < 0:
        raise InputError(f"thresholds are {list(numbers.values())}; each should be {expected}")
    return arrays, numbers


def _count_reaching(
    costs: Mapping[str, float],
    weights: Mapping[str, Array],
    order: Array,
    precedence: Array,
    cost: float,
) -> int:
    """Return how many weights in this order reach the cost.

    Raises InputError if those that may be pruned do not.
    """
    each = np.repeat([costs[name] for name in weights], [w.size for w in weights.values()])
    total = np.cumsum(each[order])
    count = int(np.searchsorted(total, cost * (1 - 1e-12))) + 1 if cost > 0 else 0
    if count > np.count_nonzero(precedence < 1):
        raise InputError(
            f"a cost of {cost:g} of {total[-1]:g} is to be pruned, and that would empty a layer or "
            "exceed its bound; use a lower target"
        )
    return count


def _ratios(weight: Array, threshold: float) -> Array:
    """|w| / t in float64, (size,): 0 for a weight of 0, infinity for others where t = 0."""
    magnitude = np.abs(weight.astype(np.float64)).ravel()
    if threshold > 0:
        return magnitude / threshold
    return np.where(magnitude > 0, np.inf, 0.0)
