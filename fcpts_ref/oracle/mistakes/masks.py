"""Mistakes in the thresholds and masks of Equation 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import expit, logit

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values


def _functions(s: Array, direct: bool) -> Iterator[tuple[str, Array, Array]]:
    """Yield the thresholds that another function makes of s, and its derivative."""
    sigmoid = expit(s)
    if direct:
        yield "threshold-sigmoid-of-t", sigmoid, sigmoid * (1 - sigmoid)
        return
    yield "threshold-without-sigmoid", s, np.ones_like(s)
    yield "threshold-softplus", np.logaddexp(0, s), sigmoid
    yield "threshold-exp", np.exp(s), np.exp(s)
    yield "threshold-tanh", np.tanh(s), 1 - np.tanh(s) ** 2
    yield "threshold-sigmoid-of-minus-s", 1 - sigmoid, -sigmoid * (1 - sigmoid)
    twice = expit(sigmoid)
    yield "threshold-sigmoid-twice", twice, twice * (1 - twice) * sigmoid * (1 - sigmoid)


def _thresholds(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    s = evidence.state.threshold_parameters
    if evidence.quantity == "new_thresholds":
        s = evidence.given["new_threshold_parameters"]
        if evidence.setting.control == "projection" or not evidence.setting.learn_rates:
            return
    if evidence.quantity == "thresholds" and "thresholds" in evidence.earlier:
        yield "threshold-of-earlier-step", evidence.earlier["thresholds"]
    if evidence.quantity == "new_thresholds":
        yield "threshold-of-earlier-step", evidence.given["thresholds"]
    for name, t, _ in _functions(s, evidence.conventions.threshold_parameter == "threshold"):
        yield name, t


def _dthreshold_parameter(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    s, direct = evidence.state.threshold_parameters, evidence.conventions.threshold_parameter
    for name, _, slope in _functions(s, direct == "threshold"):
        yield name, evidence.given["dthreshold"] * slope


def _mask(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    W, thresholds, i = evidence.weights[evidence.item], evidence.given["thresholds"], evidence.layer
    size, t = np.abs(W), thresholds[i]
    dense = np.abs(evidence.setting.network.parameters[evidence.item])
    kept = {
        "ties-kept": size >= t,
        "layer-not-pruned": np.ones(W.shape, bool),
        "mask-without-magnitude": t < W,
        "mask-inverted": size <= t,
        "mask-of-squares": t < W * W,
        "mask-squared-threshold": size > t * t,
        "mask-one-threshold": size > thresholds.mean(),
        "mask-of-dense-weights": dense > t,
        "mask-relative": size / max(size.max(), 1e-300) > t,
        "mask-relative-to-norm": size / max(np.sqrt((W * W).sum()), 1e-300) > t,
        "mask-relative-to-deviation": size > t * W.std(ddof=1),
        "mask-of-filters": np.broadcast_to(_per_filter(size, np.max) > t, W.shape),
        "mask-of-filters-mean": np.broadcast_to(_per_filter(size, np.mean) > t, W.shape),
    }
    for name, mask in kept.items():
        yield name, mask * 1.0
    for half in (_float16, _bfloat16):
        yield "mask-in-half-precision", (half(size) > half(t)) * 1.0
        yield "mask-in-half-precision", (half(size) > t) * 1.0
    order, exact = np.argsort(size, axis=None, kind="stable"), np.ones(W.size)
    exact[order[: round(evidence.setting.target * W.size)]] = 0
    yield "mask-to-target-per-layer", exact.reshape(W.shape)
    for other in (i - 1, (i + 1) % len(thresholds)):
        yield "mask-of-other-threshold", (size > thresholds[other]) * 1.0
    yield (
        "mask-scaled",
        Constant(
            lambda found: ratio(found, evidence.value), lambda c: c * evidence.value, (0.0, 1.0)
        ),
    )
    yield "mask-soft", expit(size - t)
    yield from _soft(size - t)
    yield "mask-minus-1", np.sign(size - t)
    yield "mask-minus-1", 2 * evidence.value - 1
    before = evidence.earlier.get(evidence.name)
    if before is not None:
        yield "mask-stale", before
        yield "mask-for-good", before * evidence.value
        yield "mask-kept-for-good", np.maximum(before, evidence.value)


def _float16(x: Array) -> Array:
    return np.asarray(x, np.float16).astype(np.float64)


def _bfloat16(x: Array) -> Array:
    """Round to the nearest bfloat16, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.asarray(kept.view(np.float32), np.float64)


def _soft(u: Array) -> Iterator[tuple[str, Constant]]:
    """Yield soft masks of |w| - t; the slope is read where the mask is nearest to a quarter."""

    def slopes(read: Callable[[float], float]) -> Callable[[Array], list[float]]:
        def of(found: Array) -> list[float]:
            if found.shape != u.shape:
                return []
            place = np.unravel_index(np.abs(found - 0.25).argmin(), u.shape)
            return [read(float(found[place])) / u[place]]

        return of

    yield "mask-sigmoid", Constant(slopes(lambda m: logit(m)), lambda k: expit(k * u), (0.0, 1.0))
    yield (
        "mask-ramp",
        Constant(slopes(lambda m: m - 0.5), lambda k: np.clip(0.5 + k * u, 0, 1), (0.0,)),
    )


def _per_filter(size: Array, of: Any) -> Array:
    return np.asarray(of(size, axis=tuple(range(1, size.ndim)), keepdims=True))


COMPARED = tuple(
    name for name, mistake in CATALOGUE.items() if {"mask", "rates"} <= set(mistake.of)
)
"""Mistakes in the comparison that decides the mask: the rates may follow it."""


def _rates(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    masks = [evidence.given[f"mask/{name}"] for name in evidence.layers]
    rates = np.array([(mask == 0).mean() for mask in masks])
    for name in COMPARED:
        yield name, rates


VALUES: dict[str, Values] = {
    "thresholds": _thresholds,
    "new_thresholds": _thresholds,
    "mask": _mask,
    "rates": _rates,
    "dthreshold_parameter": _dthreshold_parameter,
}
