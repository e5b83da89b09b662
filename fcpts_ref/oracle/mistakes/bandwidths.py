"""Mistakes in the bandwidth h of Equation 12: another rule, factor or deviation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, Constant
from fcpts_ref.oracle.mistakes.density import Layer, kernel_layers, stacked
from fcpts_ref.oracle.mistakes.mistake import Found, Values

FACTORS = (0.1, 0.2, 0.25, 0.3, 0.5, 0.9, 1.0, 1.06, 1.5, 2.0)
"""Of the bandwidth: the usual ones."""


def _silverman(layer: Layer) -> float:
    """Return h by the rule of scipy and statsmodels."""
    return float(layer.deviation * (0.75 * layer.samples.size) ** -0.2)


NAMED: dict[str, tuple[Callable[[Layer], float], ...]] = {
    "kernel-biased-deviation": (lambda layer: layer.factor * layer.w.std(),),
    "kernel-variance": (lambda layer: layer.factor * layer.deviation**2,),
    "kernel-deviation-of-magnitudes": (lambda layer: layer.factor * np.abs(layer.w).std(ddof=1),),
    "kernel-relative-to-range": (lambda layer: layer.factor * np.ptp(layer.w),),
    "kernel-sample-deviation": (
        lambda layer: layer.factor * layer.drawn.std(ddof=1),
        lambda layer: layer.factor * layer.drawn.std(),
    ),
    "kernel-scott": (
        lambda layer: layer.deviation * layer.samples.size**-0.2,
        lambda layer: layer.drawn.std(ddof=1) * layer.samples.size**-0.2,
    ),
    "kernel-silverman": (
        _silverman,
        lambda layer: 1.06 * layer.deviation * layer.samples.size**-0.2,
        lambda layer: layer.drawn.std(ddof=1) * (0.75 * layer.samples.size) ** -0.2,
        lambda layer: 1.06 * layer.drawn.std(ddof=1) * layer.samples.size**-0.2,
    ),
}
"""Other bandwidths by name, each in its forms."""


def _spreads(evidence: Evidence, layers: list[Layer]) -> Iterator[tuple[str, list[float]]]:
    """Yield other deviations that the bandwidths are relative to, one of each layer."""
    together = np.concatenate([layer.w for layer in layers])
    own = [layer.deviation for layer in layers]
    yield "all layers together", [together.std(ddof=1)] * len(own)
    yield "the layers' mean deviation", [float(np.mean(own))] * len(own)
    yield "the layer before", [own[i - 1] for i in range(len(own))]
    for text, spread in SPREADS.items():
        yield text, [spread(layer) for layer in layers]
    yield "the threshold", list(evidence.given["thresholds"])


def _kept(layer: Layer) -> float:
    w = layer.w[layer.mask != 0]
    return float(w.std(ddof=1)) if w.size > 1 else 1.0


def _quartiles(w: Array) -> float:
    return float(np.subtract(*np.quantile(w, (0.75, 0.25))))


SPREADS: dict[str, Callable[[Layer], float]] = {
    "the kept weights": _kept,
    "the sparse weights": lambda layer: (layer.mask * layer.w).std(ddof=1),
    "the quartiles": lambda layer: _quartiles(layer.w),
    "the quartiles over 1.34": lambda layer: _quartiles(layer.w) / 1.34,
    "the mean magnitude": lambda layer: np.abs(layer.w).mean(),
    "the largest magnitude": lambda layer: np.abs(layer.w).max(),
}


def _densities(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    layers = kernel_layers(evidence)
    if not layers:
        return

    def with_bandwidths(h: list[float]) -> Array:
        return np.array([one.estimate(h=h_one) for one, h_one in zip(layers, h, strict=True)])

    for name, forms in NAMED.items():
        for form in forms:
            yield name, with_bandwidths([form(layer) for layer in layers])
    for text, spreads in _spreads(evidence, layers):
        factors = [layer.factor * s for layer, s in zip(layers, spreads, strict=True)]
        yield f"bandwidth-of{MARK}{text}", with_bandwidths(factors)
    usual = layers[0].factor
    yield (
        "kernel-bandwidth",
        Constant(
            lambda found: FACTORS,
            lambda other: stacked(lambda one: one.estimate(h=other / usual * one.h), layers),
            (usual,),
        ),
    )


VALUES: dict[str, Values] = {"densities": _densities}
