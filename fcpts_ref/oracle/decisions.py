"""Decisions that rounding may turn: masks, counts, bins, signs, order statistics.

A decision compares two numbers.  Where these are nearer to each other than their tolerance, either
outcome is right, and the one found is taken.  Numbers that no rounding has touched have no
tolerance: a weight that equals a threshold which is learned directly is decided by convention 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.oracle.replay import StepInputs
from fcpts_ref.oracle.tolerance import Tolerance
from fcpts_ref.oracle.trace_file import Setting
from fcpts_ref.pruning.fcpts.step import parameter_of
from fcpts_ref.spec.budget import budget, threshold_of_count
from fcpts_ref.spec.conventions import EQUALITY_WIDTH, SURROGATE_WIDTH

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class _Context:
    """What a decision is made from."""

    given: Arrays
    setting: Setting
    inputs: StepInputs
    tolerance: Tolerance

    @property
    def layers(self) -> tuple[str, ...]:
        return self.setting.network.graph.prunable

    def magnitudes(self, layer: str, kind: str = "") -> Array:
        weight = self.given.get(f"new_parameter/{layer}") if kind == "new" else None
        return np.abs(self.inputs.state.parameters[layer] if weight is None else weight)

    def thresholds(self) -> tuple[Array, float]:
        """Return t (L,) and its error: 0 where t is a parameter itself."""
        t, parameters = self.given["thresholds"], self.inputs.state.threshold_parameters
        direct = self.setting.conventions.threshold_parameter == "threshold"
        if direct and np.array_equal(t, parameters):
            return t, 0.0
        return t, self.tolerance.rounding * float(np.abs(t).max(initial=0.0))


def settle(
    name: str,
    want: Array,
    got: Array,
    given: Arrays,
    setting: Setting,
    inputs: StepInputs,
    tolerance: Tolerance,
) -> tuple[Array, int]:
    """Return the expected value with every close decision as found, and how many there were.

    want, got: of one shape.  given: the quantities before this one.
    """
    kind, _, item = name.partition("/")
    rule = RULES.get(kind)
    if rule is None or not np.isfinite(got).all():
        return want, 0
    settled = rule(_Context(given, setting, inputs, tolerance), item, want, got.astype(np.float64))
    return settled, int(np.count_nonzero(settled != want))


def _mask(context: _Context, layer: str, want: Array, got: Array) -> Array:
    """A weight within its threshold's tolerance may be kept, pruned or halved."""
    t, error = context.thresholds()
    u = context.magnitudes(layer) - t[context.layers.index(layer)]
    free = (
        (np.abs(u) <= error) & np.isin(got, (0.0, 0.5, 1.0)) if error else np.zeros(u.shape, bool)
    )
    return np.where(free, got, want)


def _rates(context: _Context, _: str, want: Array, got: Array) -> Array:
    """Weights within their threshold's tolerance may be counted or not."""
    t, error = context.thresholds()
    settled = want.copy()
    for i, layer in enumerate(context.layers) if error else ():
        u = context.magnitudes(layer) - t[i]
        settled[i] = _nearest_count(
            got[i], u.size, int((u < -error).sum()), int((u <= error).sum())
        )
    return settled


def _nearest_count(rate: float, size: int, fewest: int, most: int) -> float:
    """Return the share nearest to a rate, of a whole number of weights between two bounds."""
    return float(np.clip(np.round(rate * size), fewest, most)) / size


def _densities(context: _Context, _: str, want: Array, got: Array) -> Array:
    """A threshold, or a weight, within the tolerance of a bin's edge may lie on either side."""
    c = context.setting.conventions
    if c.density != "histogram":
        return want
    settled = want.copy()
    for i, layer in enumerate(context.layers):
        w = context.inputs.state.parameters[layer].ravel()
        low, high = float(w.min()), float(w.max())
        if low == high:
            continue
        edges = np.linspace(low, high, c.histogram_bins + 1)
        error = context.tolerance.rounding * max(abs(low), abs(high))
        for side, x in enumerate((context.given["thresholds"][i], -context.given["thresholds"][i])):
            settled[i, side] = _near_bin(edges, w, x, error, want[i, side], got[i, side])
    return settled


def _near_bin(edges: Array, w: Array, x: float, error: float, want: float, got: float) -> float:
    """Return the density found if a bin that may hold x may hold that many weights, else ``want``.

    Numbers that lie on an edge exactly, in rational arithmetic, are decided by the convention.
    """
    bins = len(edges) - 1
    unit = w.size * (edges[-1] - edges[0]) / bins
    count = round(got * unit)
    if abs(got * unit - count) > 1e-3:
        return want
    low, width = Fraction(edges[0]), (Fraction(edges[-1]) - Fraction(edges[0])) / bins
    exact = np.array([Fraction(edge) == low + k * width for k, edge in enumerate(edges)])

    def near(k: int, values: Array) -> Array:
        """Mark the values that rounding may move across an edge."""
        on_edge = exact[k] & (values == edges[k])
        return np.asarray((np.abs(values - edges[k]) <= error) & ~on_edge)

    point = np.array([x])
    bin_of = int(np.searchsorted(edges, x, side="right")) - 1
    possible = {bin_of} | {j for k in range(bins + 1) if near(k, point)[0] for j in (k - 1, k)}
    for k in possible:
        if not 0 <= k < bins:
            if count == 0 and (near(0, point)[0] or near(bins, point)[0]):
                return 0.0
            continue
        inside = (w >= edges[k]) & ((w < edges[k + 1]) | ((k == bins - 1) & (w == edges[-1])))
        free = near(k, w) | near(k + 1, w)
        fewest, most = np.count_nonzero(inside & ~free), np.count_nonzero(inside | free)
        if fewest <= count <= most and (k != bin_of or most > fewest):
            return float(count / unit)
    return want


def _dcontrol_drate(context: _Context, _: str, want: Array, got: Array) -> Array:
    """The sign at a rate that differs from the target by rounding alone."""
    r, N = context.given["rates"], context.setting.network.sizes.values()
    sizes = np.array(list(N), dtype=np.float64)
    reached = float((r * sizes).sum() / sizes.sum())
    epsilon = np.finfo(np.float32 if context.tolerance.single else np.float64).eps
    excess = abs(reached - context.setting.target)
    width = EQUALITY_WIDTH * epsilon * max(reached, context.setting.target)
    if width == 0 or excess > width:
        return want
    signs = np.sign(got)
    one_sign = np.all(signs == signs.flat[0])
    return np.asarray(signs * sizes / sizes.sum()) if one_sign else want


def _dmask_dthreshold(context: _Context, layer: str, want: Array, got: Array) -> Array:
    """|w| - t within tolerance of the surrogate's width may lie inside or outside."""
    t = context.given["thresholds"][context.layers.index(layer)]
    u = np.abs(context.magnitudes(layer) - t)
    error = context.tolerance.rounding * (1 + abs(float(t)))
    free = (np.abs(u - SURROGATE_WIDTH) <= error) & (u != SURROGATE_WIDTH)
    return np.where(free & np.isin(got, (0.0, -0.5)), got, want)


def _final_mask(context: _Context, layer: str, want: Array, got: Array) -> Array:
    """Weights whose |w| / t lies within the tolerance of the cut may change places."""
    t = context.given.get("new_thresholds")
    if t is None or not (t > 0).all():
        return want
    ratios = {n: context.magnitudes(n, "new") / t[i] for i, n in enumerate(context.layers)}
    everything = np.sort(np.concatenate([ratio.ravel() for ratio in ratios.values()]))
    count = budget(context.setting.target, everything.size)
    if not 0 < count < everything.size:
        return want
    last, first = everything[count - 1 : count + 1]
    error = 100 * context.tolerance.rounding
    near = (ratios[layer] >= first * (1 - error)) & (ratios[layer] <= last * (1 + error))
    return np.where(near & np.isin(got, (0.0, 1.0)), got, want)


def _final_rate(context: _Context, _: str, want: Array, got: Array) -> Array:
    """Weights within their threshold's tolerance may be counted or not."""
    t = context.given.get("new_thresholds")
    if t is None:
        return want
    error = context.tolerance.rounding * float(np.abs(t).max(initial=0.0))
    sizes = sum(context.setting.network.sizes.values())
    units = [context.magnitudes(layer, "new") - t[i] for i, layer in enumerate(context.layers)]
    fewest, most = (sum(int((u <= e).sum()) for u in units) for e in (-error, error))
    return np.asarray(_nearest_count(float(got), sizes, fewest, most)) if most > fewest else want


RULES: dict[str, Callable[[_Context, str, Array, Array], Array]] = {
    "mask": _mask,
    "rates": _rates,
    "densities": _densities,
    "dcontrol_drate": _dcontrol_drate,
    "dmask_dthreshold": _dmask_dthreshold,
    "final_mask": _final_mask,
    "final_rate": _final_rate,
}
"""By quantity: the expected value with close decisions as found."""


def settle_beginning(
    setting: Setting, rates: Array, want: Array, got: Array, tolerance: Tolerance
) -> Array:
    """Settle the thresholds of step 0: order statistics at the rank round(r N) or int(r N).

    A rank that rounding decides may be either of two.  rates: (L,) found; want, got: (L,)
    parameters of the thresholds.
    """
    settled = want.copy()
    for i, layer in enumerate(setting.network.graph.prunable):
        weight = setting.network.parameters[layer]
        rank = float(rates[i]) * weight.size
        if setting.conventions.initial_threshold == "rounded down":
            rank = max(rank, 1.0) - 0.5  # int(rank) turns at whole numbers
        if abs(rank - math.floor(rank) - 0.5) > 100 * tolerance.rounding * weight.size:
            continue
        for count in (math.floor(rank), math.ceil(rank)):
            t = np.array([threshold_of_count(weight, min(max(count, 0), weight.size))])
            other = parameter_of(t, setting.conventions)[0]
            if abs(got[i] - other) <= tolerance.rounding * max(abs(other), 1.0):
                settled[i] = got[i]
    return settled
