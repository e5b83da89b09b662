"""Mistakes in Equation 12, the density, and in the released code's histogram."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.pruning.fcpts.step import bandwidth_of

Estimate = Callable[[Array, Array, Array, float, float], Array]
"""Of the points, the layer's weights, the drawn ones, the bandwidth h and its factor."""

FACTORS = (0.1, 0.2, 0.25, 0.3, 0.5, 0.9, 1.0, 1.06, 1.5, 2.0)
"""Of the bandwidth: the usual ones."""

ROOT = math.sqrt(2 * math.pi)


def _kernel(K: Callable[[Array], Array], width: Callable[[Array, float, float], float]) -> Estimate:
    def estimate(x: Array, w: Array, drawn: Array, h: float, factor: float) -> Array:
        h = width(w, h, factor)
        return np.asarray(K((x[:, np.newaxis] - drawn) / h).mean(axis=1) / h)

    return estimate


def _gauss(z: Array) -> Array:
    return np.asarray(np.exp(-0.5 * z * z) / ROOT)


def _logistic(z: Array) -> Array:
    return np.asarray(1 / (2 + np.exp(z) + np.exp(-z)))


def _as_given(w: Array, h: float, factor: float) -> float:
    return h


def _gauss_at(change: Callable[[Array, Array], Array]) -> Estimate:
    """Gaussian kernels at other places: a function of the layer's weights and the drawn ones."""

    def estimate(x: Array, w: Array, drawn: Array, h: float, factor: float) -> Array:
        return _kernel(_gauss, _as_given)(x, w, change(w, drawn), h, factor)

    return estimate


KERNELS: dict[str, Estimate] = {
    "kernel-biased-deviation": _kernel(_gauss, lambda w, h, factor: factor * w.std()),
    "kernel-variance": _kernel(_gauss, lambda w, h, factor: factor * w.var(ddof=1)),
    "kernel-deviation-of-magnitudes": _kernel(
        _gauss, lambda w, h, factor: factor * np.abs(w).std(ddof=1)
    ),
    "kernel-relative-to-range": _kernel(_gauss, lambda w, h, factor: factor * np.ptp(w)),
    "kernel-without-half": _kernel(lambda z: np.exp(-z * z) / ROOT, _as_given),
    "kernel-without-root": _kernel(lambda z: np.exp(-0.5 * z * z), _as_given),
    "kernel-root-of-pi": _kernel(lambda z: np.exp(-0.5 * z * z) / math.sqrt(math.pi), _as_given),
    "kernel-epanechnikov": _kernel(lambda z: 0.75 * np.maximum(1 - z * z, 0), _as_given),
    "kernel-box": _kernel(lambda z: np.where(np.abs(z) < 1, 0.5, 0.0), _as_given),
    "kernel-laplace": _kernel(lambda z: 0.5 * np.exp(-np.abs(z)), _as_given),
    "kernel-logistic": _kernel(_logistic, _as_given),
    "kernel-all-weights": _gauss_at(lambda w, drawn: w.ravel()),
    "kernel-both-signs": _gauss_at(lambda w, drawn: np.concatenate([drawn, -drawn])),
    "kernel-of-magnitudes": _gauss_at(lambda w, drawn: np.abs(drawn)),
    "kernel-sample-deviation": lambda x, w, drawn, h, factor: _kernel(_gauss, _as_given)(
        x, w, drawn, factor * drawn.std(ddof=1), factor
    ),
    "kernel-exponent-by-bandwidth": lambda x, w, drawn, h, factor: _kernel(
        lambda z: _gauss(z / h), _as_given
    )(x, w, drawn, h, factor),
    "kernel-exponent-without-bandwidth": lambda x, w, drawn, h, factor: _kernel(
        lambda z: _gauss(z * h), _as_given
    )(x, w, drawn, h, factor),
    "kernel-normal-of-layer": lambda x, w, drawn, h, factor: (
        _gauss((x - w.mean()) / w.std(ddof=1)) / w.std(ddof=1)
    ),
    "kernel-scott": lambda x, w, drawn, h, factor: _kernel(_gauss, _as_given)(
        x, w, drawn, w.std(ddof=1) * drawn.size**-0.2, factor
    ),
    "kernel-silverman": lambda x, w, drawn, h, factor: _kernel(_gauss, _as_given)(
        x, w, drawn, w.std(ddof=1) * (0.75 * drawn.size) ** -0.2, factor
    ),
}


def _histogram(x: Array, w: Array, bins: int, how: str) -> Array:
    top = np.abs(w).max()
    span = (-top, top) if how == "symmetric" else None
    counts, edges = np.histogram(w, bins=bins, range=span)
    width = edges[1] - edges[0]
    heights = {"mass": counts / w.size, "counts": counts}.get(how, counts / (w.size * width))
    if how == "interpolated":
        middles = (edges[:-1] + edges[1:]) / 2
        return np.asarray(np.interp(x, middles, heights, left=0.0, right=0.0))
    k = np.searchsorted(edges, x, side="left" if how == "closed-above" else "right") - 1
    inside = (k >= 0) & (k < bins)
    found = np.where(inside, heights[np.clip(k, 0, bins - 1)], 0.0)
    return np.where(x == edges[-1], heights[-1], found) if how == "last-closed" else found


def _densities(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right = evidence.value
    yield "density-both-at-t", right[:, [0, 0]]
    yield "density-swapped", right[:, ::-1]
    kernels = evidence.conventions.density == "kernel"
    yield from _kernel_values(evidence) if kernels else _histogram_values(evidence)


def _inside(z: Array, height: Array) -> Array:
    return np.where(np.abs(z) < 1, height, 0.0)


SHAPES: dict[str, Callable[[Array], Array]] = {
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


def _points(t: float, h: float) -> dict[str, Array]:
    """Return other points at which the density is taken."""
    return {
        "0": np.zeros(2),
        "t + h and -t - h": np.array([t + h, -t - h]),
        "t - h and h - t": np.array([t - h, h - t]),
        "t / h": np.array([t, -t]) / h,
        "1 and -1": np.array([1.0, -1.0]),
    }


def _shapes(layers: list[tuple[Array, Array, Array, float]]) -> Iterator[tuple[str, Array]]:
    for text, K in SHAPES.items():
        kernel = _kernel(K, _as_given)
        rows = [kernel(x, w, w.ravel()[s], h, 1.0) for x, w, s, h in layers]
        yield f"kernel-shape={text}", np.array(rows)
    gauss = _kernel(_gauss, _as_given)
    for text in _points(0.0, 1.0):
        moved = [_points(float(x[0]), h)[text] for x, _, _, h in layers]
        rows = [
            gauss(x, w, w.ravel()[s], h, 1.0) for x, (_, w, s, h) in zip(moved, layers, strict=True)
        ]
        yield f"density-at={text}", np.array(rows)


def _widths(evidence: Evidence) -> Iterator[tuple[str, list[float]]]:
    """Yield other deviations that the bandwidths are relative to, one of each layer."""
    weights = list(evidence.weights.values())
    together = np.concatenate([w.ravel() for w in weights])
    own = [w.std(ddof=1) for w in weights]
    kept = [w[evidence.given[f"mask/{n}"] != 0] for n, w in evidence.weights.items()]
    quartiles = [np.subtract(*np.quantile(w, (0.75, 0.25))) for w in weights]
    yield "all layers together", [together.std(ddof=1)] * len(own)
    yield "the layers' mean deviation", [float(np.mean(own))] * len(own)
    yield "the layer before", [own[i - 1] for i in range(len(own))]
    yield "the kept weights", [w.std(ddof=1) if w.size > 1 else 1.0 for w in kept]
    yield (
        "the sparse weights",
        [(evidence.given[f"mask/{n}"] * w).std(ddof=1) for n, w in evidence.weights.items()],
    )
    yield "the quartiles", quartiles
    yield "the quartiles over 1.34", [q / 1.34 for q in quartiles]
    yield "the mean magnitude", [float(np.abs(w).mean()) for w in weights]
    yield "the largest magnitude", [float(np.abs(w).max()) for w in weights]
    yield "the threshold", list(evidence.given["thresholds"])


def _kernel_values(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right, c = evidence.value, evidence.conventions
    weights = list(evidence.weights.values())
    widths = [bandwidth_of(w, c) for w in weights]
    wide = np.array(widths)[:, np.newaxis]
    points = [np.array([t, -t]) for t in evidence.given["thresholds"]]
    layers = list(zip(points, weights, evidence.samples, widths, strict=True))
    yield "kernel-without-bandwidth", right * wide
    yield "kernel-bandwidth-squared", right / wide
    yield "kernel-without-n", right * c.density_samples
    yield from _shapes(layers)
    normal = _kernel(_gauss, _as_given)
    for text, spreads in _widths(evidence):
        rows = [
            normal(x, w, w.ravel()[s], c.bandwidth_factor * spread, 1.0)
            for (x, w, s, _), spread in zip(layers, spreads, strict=True)
        ]
        yield f"bandwidth-of={text}", np.array(rows)
    sizes = evidence.sizes[:, np.newaxis]
    yield "kernel-over-N", right * c.density_samples / sizes
    for name, estimate in KERNELS.items():
        factor = c.bandwidth_factor
        rows = [estimate(x, w, w.ravel()[s], h, factor) for x, w, s, h in layers]
        yield name, np.array(rows)
    gauss = _kernel(_gauss, _as_given)

    rule = [1.06 * w.std(ddof=1) * s.size**-0.2 for _, w, s, _ in layers]
    rows = [gauss(x, w, w.ravel()[s], h, 1.0) for (x, w, s, _), h in zip(layers, rule, strict=True)]
    yield "kernel-silverman", np.array(rows)

    def with_factor(factor: float) -> Array:
        scale = factor / c.bandwidth_factor
        return np.array([gauss(x, w, w.ravel()[s], scale * h, 1.0) for x, w, s, h in layers])

    yield "kernel-bandwidth", Constant(lambda found: FACTORS, with_factor, (c.bandwidth_factor,))
    masks = [evidence.given[f"mask/{name}"].ravel() for name in evidence.weights]
    for name, keep in (("kernel-of-masked-weights", False), ("kernel-of-kept-weights", True)):
        rows = []
        for (x, w, s, h), m in zip(layers, masks, strict=True):
            drawn = w.ravel()[s][m[s] > 0] if keep else (w.ravel() * m)[s]
            rows.append(gauss(x, w, drawn, h, 1.0))
        yield name, np.array(rows)


def _histogram_values(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    bins = evidence.conventions.histogram_bins
    points = [np.array([t, -t]) for t in evidence.given["thresholds"]]
    weights = [w.ravel() for w in evidence.weights.values()]
    masked = [evidence.given[f"sparse_weight/{n}"].ravel() for n in evidence.weights]
    for how in ("closed-above", "last-closed", "mass", "counts", "symmetric", "interpolated"):
        pairs = zip(points, weights, strict=True)
        yield f"histogram-{how}", np.array([_histogram(x, w, bins, how) for x, w in pairs])
    for other in (8, 10, 20, 30, 32, 50, 64, 128, 200, 255, 512, 1000, 1024, 2048):
        pairs = zip(points, weights, strict=True)
        yield f"histogram-bins={other}", np.array([_histogram(x, w, other, "") for x, w in pairs])
    pairs = zip(points, weights, strict=True)
    magnitudes = [_histogram(x, np.abs(w), bins, "") for x, w in pairs]
    yield "histogram-of-magnitudes", np.array(magnitudes)
    pairs = zip(points, masked, strict=True)
    yield "histogram-of-masked-weights", np.array([_histogram(x, w, bins, "") for x, w in pairs])


VALUES: dict[str, Values] = {"densities": _densities}
