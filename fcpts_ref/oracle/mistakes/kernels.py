"""Mistakes in Equation 12: the kernels' shape and scale, where they lie and are taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.density import ROOT, Layer, gauss, kernel_layers, stacked
from fcpts_ref.oracle.mistakes.mistake import Found, Values

Kernel = Callable[[Array], Array]


def _inside(z: Array, height: Array) -> Array:
    return np.where(np.abs(z) < 1, height, 0.0)


NAMED: dict[str, Kernel] = {
    "kernel-without-half": lambda z: np.exp(-z * z) / ROOT,
    "kernel-without-root": lambda z: np.exp(-0.5 * z * z),
    "kernel-root-of-pi": lambda z: np.exp(-0.5 * z * z) / math.sqrt(math.pi),
    "kernel-epanechnikov": lambda z: 0.75 * np.maximum(1 - z * z, 0),
    "kernel-box": lambda z: _inside(z, np.full_like(z, 0.5)),
    "kernel-laplace": lambda z: 0.5 * np.exp(-np.abs(z)),
    "kernel-logistic": lambda z: 1 / (2 + np.exp(z) + np.exp(-z)),
}

SHAPES: dict[str, Kernel] = {
    "triangle": lambda z: np.maximum(1 - np.abs(z), 0),
    "cosine": lambda z: _inside(z, math.pi / 4 * np.cos(math.pi / 2 * z)),
    "biweight": lambda z: 15 / 16 * np.maximum(1 - z * z, 0) ** 2,
    "triweight": lambda z: 35 / 32 * np.maximum(1 - z * z, 0) ** 3,
    "tricube": lambda z: 70 / 81 * np.maximum(1 - np.abs(z) ** 3, 0) ** 3,
    "cauchy": lambda z: 1 / (math.pi * (1 + z * z)),
    "sech": lambda z: 1 / (math.pi * np.cosh(z)),
    "box of width h": lambda z: np.where(np.abs(z) < 0.5, 1.0, 0.0),
    "linear": lambda z: _inside(z, 1 - np.abs(z)),
}
"""Other kernels, of area 1."""

DRAWN: dict[str, Callable[[Layer], Array]] = {
    "kernel-all-weights": lambda layer: layer.w,
    "kernel-both-signs": lambda layer: np.concatenate([layer.drawn, -layer.drawn]),
    "kernel-of-magnitudes": lambda layer: np.abs(layer.drawn),
    "kernel-of-masked-weights": lambda layer: (layer.w * layer.mask)[layer.samples],
    "kernel-of-kept-weights": lambda layer: layer.drawn[layer.mask[layer.samples] > 0],
}
"""Where the kernels lie."""

POINTS: dict[str, Callable[[float, float], list[float]]] = {
    "0": lambda t, h: [0.0, 0.0],
    "t + h and -t - h": lambda t, h: [t + h, -t - h],
    "t - h and h - t": lambda t, h: [t - h, h - t],
    "t / h": lambda t, h: [t / h, -t / h],
    "1 and -1": lambda t, h: [1.0, -1.0],
}
"""Other points at which the density is taken."""


def _densities(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    layers = kernel_layers(evidence)
    if not layers:
        return
    shapes = NAMED | {f"kernel-shape{MARK}{text}": K for text, K in SHAPES.items()}
    for name, K in shapes.items():
        yield name, np.array([layer.estimate(K) for layer in layers])
    for name, drawn in DRAWN.items():
        yield name, np.array([layer.estimate(drawn=drawn(layer)) for layer in layers])
    for text, points in POINTS.items():
        moved = [np.array(points(layer.points[0], layer.h)) for layer in layers]
        pairs = zip(layers, moved, strict=True)
        yield f"density-at{MARK}{text}", np.array([one.estimate(points=x) for one, x in pairs])
    yield from _scaled(evidence, layers)
    for text, weights in _other_times(evidence, layers):
        pairs = zip(layers, weights, strict=True)
        yield f"kernel-drawn{MARK}{text}", np.array([one.estimate(drawn=w) for one, w in pairs])


def _scaled(evidence: Evidence, layers: list[Layer]) -> Iterator[tuple[str, Array]]:
    """Yield other divisors of the kernels, in the exponent and before the sum."""
    right, n = evidence.value, evidence.conventions.density_samples
    h = np.array([[layer.h] for layer in layers])
    yield "kernel-without-bandwidth", right * h
    yield "kernel-bandwidth-squared", right / h
    yield "kernel-without-n", right * n
    yield "kernel-over-N", right * n / evidence.sizes[:, np.newaxis]
    yield (
        "kernel-exponent-by-bandwidth",
        stacked(lambda one: one.estimate(h=one.h**2, over=one.h), layers),
    )
    yield (
        "kernel-exponent-without-bandwidth",
        stacked(lambda one: one.estimate(h=1.0, over=one.h), layers),
    )
    yield (
        "kernel-exponent-without-deviation",
        stacked(lambda one: one.estimate(h=one.factor, over=one.h), layers),
    )
    yield "kernel-over-factor", stacked(lambda one: one.estimate(over=one.factor), layers)
    yield "kernel-over-deviation", stacked(lambda one: one.estimate(over=one.deviation), layers)
    yield "kernel-normal-of-layer", stacked(_normal, layers)


def _normal(layer: Layer) -> Array:
    return gauss((layer.points - layer.w.mean()) / layer.deviation) / layer.deviation


def _other_times(evidence: Evidence, layers: list[Layer]) -> Iterator[tuple[str, list[Array]]]:
    """Yield weights drawn in other steps, where the bandwidth is that of this step."""
    dense = evidence.setting.network.parameters
    yield "from the dense weights", [dense[one.name].ravel()[one.samples] for one in layers]
    steps = {"in the step before": evidence.earlier}
    if evidence.history:
        steps["in the first step"] = evidence.history[0]
    for text, step in steps.items():
        names = [(f"inputs/parameters/{one.name}", f"inputs/samples/{one.name}") for one in layers]
        if all(name in step for pair in names for name in pair):
            yield text, [step[w].ravel()[step[samples]] for w, samples in names]
    if evidence.state.step == 0:
        yield "in the first step", [one.drawn for one in layers]


VALUES: dict[str, Values] = {"densities": _densities}
