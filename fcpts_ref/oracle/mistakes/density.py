"""Mistakes in Equation 12, the density, and in the released code's histogram."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values
from fcpts_ref.pruning.fcpts.step import bandwidth_of

Estimate = Callable[[Array, Array, Array, float, float], Array]
"""Of the points, the layer's weights, the drawn ones, the bandwidth h and its factor."""

ROOT = math.sqrt(2 * math.pi)


def _of(text: str, formula: str, look: str = "") -> Mistake:
    return Mistake(text, formula, ("densities",), look, 10)


NAMES = {
    "kernel-biased-deviation": _of(
        "the biased standard deviation in the bandwidth", "h = 0.5 std with 1/N", "np.std without ddof=1, torch.std(unbiased=False)"
    ),
    "kernel-sample-deviation": _of(
        "the standard deviation of the samples, not of the layer", "h = 0.5 std of the drawn weights", "scipy.stats.gaussian_kde on the sample"
    ),
    "kernel-all-weights": _of("all weights of the layer, not the drawn ones", "the mean over all N weights"),
    "kernel-without-bandwidth": _of("the kernels are not divided by the bandwidth", "1/n sum K((w - w_i) / h)", "1 / h is missing"),
    "kernel-bandwidth-squared": _of("the kernels are divided by the bandwidth twice", "1/(n h^2) sum K((w - w_i) / h)"),
    "kernel-without-half": _of("the exponent lacks its 1/2", "exp(-z^2)"),
    "kernel-without-root": _of("1 / sqrt(2 pi) is missing", "exp(-z^2 / 2)", "kernels are not normalised"),
    "kernel-root-of-pi": _of("sqrt(pi) in place of sqrt(2 pi)", "exp(-z^2 / 2) / sqrt(pi)"),
    "kernel-without-n": _of("kernels are summed, not averaged", "1/h sum K((w - w_i) / h)", "1 / n is missing"),
    "kernel-over-N": _of("the sum of the drawn kernels is divided by N", "1/(N h) sum K((w - w_i) / h)"),
    "kernel-variance": _of("the bandwidth is taken from the variance", "h = 0.5 var", "std ** 2"),
    "kernel-of-magnitudes": _of("the density of |w|", "kernels at |w_i|", "abs is taken first"),
    "kernel-of-masked-weights": _of("the density of M W", "kernels at M w_i", "the pruned weights pile up at 0"),
    "kernel-of-kept-weights": _of("the density of the kept weights", "kernels at kept w_i"),
    "kernel-scott": _of("Scott's rule for the bandwidth", "h = std n^(-1/5)", "scipy's default"),
    "kernel-silverman": _of("Silverman's rule for the bandwidth", "h = std (3 n / 4)^(-1/5)"),
    "kernel-relative-to-range": _of("the bandwidth is relative to the range of the weights", "h = 0.5 (max - min)"),
    "kernel-epanechnikov": _of("kernels of Epanechnikov", "0.75 (1 - z^2) where |z| < 1"),
    "kernel-box": _of("kernels of constant height", "1/2 where |z| < 1"),
    "kernel-laplace": _of("kernels of Laplace", "exp(-|z|) / 2"),
    "kernel-logistic": _of("logistic kernels", "sigmoid(z) (1 - sigmoid(z))"),
    "histogram-closed-above": _of("histogram bins are closed above, not below", "(low, high]", "searchsorted with side='left', torch.bucketize"),
    "histogram-last-closed": _of("the last bin is closed when looked up", "p(max w) is that of the last bin", "clamping the index"),
    "histogram-mass": _of("the share of the weights in the bin, not divided by its width", "count / N", "density=True is missing"),
    "histogram-counts": _of("the number of weights in the bin", "count", "torch.histc without division"),
    "histogram-symmetric": _of("bins between -max |w| and max |w|", "100 bins over [-max |w|, max |w|]"),
    "histogram-of-magnitudes": _of("a histogram of |w|", "100 bins over |w|", "abs is taken first"),
    "histogram-of-masked-weights": _of("a histogram of M W", "100 bins over M w"),
    "histogram-interpolated": _of("heights are interpolated between the bins' centres", "linear between centres"),
    "density-both-at-t": _of("p(t) for both sides", "(p(t), p(t))"),
    "density-swapped": _of("the sides are exchanged", "(p(-t), p(t))"),
}  # fmt: skip


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
    "kernel-relative-to-range": _kernel(_gauss, lambda w, h, factor: factor * np.ptp(w)),
    "kernel-without-half": _kernel(lambda z: np.exp(-z * z) / ROOT, _as_given),
    "kernel-without-root": _kernel(lambda z: np.exp(-0.5 * z * z), _as_given),
    "kernel-root-of-pi": _kernel(lambda z: np.exp(-0.5 * z * z) / math.sqrt(math.pi), _as_given),
    "kernel-epanechnikov": _kernel(lambda z: 0.75 * np.maximum(1 - z * z, 0), _as_given),
    "kernel-box": _kernel(lambda z: 0.5 * (np.abs(z) < 1), _as_given),
    "kernel-laplace": _kernel(lambda z: 0.5 * np.exp(-np.abs(z)), _as_given),
    "kernel-logistic": _kernel(_logistic, _as_given),
    "kernel-all-weights": _gauss_at(lambda w, drawn: w.ravel()),
    "kernel-of-magnitudes": _gauss_at(lambda w, drawn: np.abs(drawn)),
    "kernel-sample-deviation": lambda x, w, drawn, h, factor: _kernel(_gauss, _as_given)(
        x, w, drawn, factor * drawn.std(ddof=1), factor
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
        return np.interp(x, (edges[:-1] + edges[1:]) / 2, heights, left=0.0, right=0.0)
    k = np.searchsorted(edges, x, side="left" if how == "closed-above" else "right") - 1
    inside = (k >= 0) & (k < bins)
    found = np.where(inside, heights[np.clip(k, 0, bins - 1)], 0.0)
    return np.where(x == edges[-1], heights[-1], found) if how == "last-closed" else found


def _densities(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    right = evidence.value
    yield "density-both-at-t", right[:, [0, 0]]
    yield "density-swapped", right[:, ::-1]
    kernels = evidence.conventions.density == "kernel"
    yield from _kernel_values(evidence) if kernels else _histogram_values(evidence)


def _kernel_values(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    right, c = evidence.value, evidence.conventions
    h = [bandwidth_of(w, c) for w in evidence.weights.values()]
    wide = np.array(h)[:, np.newaxis]
    layers = list(
        zip(
            evidence.given["thresholds"],
            evidence.weights.values(),
            evidence.samples,
            h,
            strict=True,
        )
    )
    yield "kernel-without-bandwidth", right * wide
    yield "kernel-bandwidth-squared", right / wide
    yield "kernel-without-n", right * c.density_samples
    sizes = evidence.sizes[:, np.newaxis]
    yield "kernel-over-N", right * c.density_samples / sizes
    for name, estimate in KERNELS.items():
        yield (
            name,
            np.array(
                [
                    estimate(np.array([t, -t]), w, w.ravel()[s], h, c.bandwidth_factor)
                    for t, w, s, h in layers
                ]
            ),
        )
    masks = [evidence.given[f"mask/{name}"].ravel() for name in evidence.weights]
    gauss = _kernel(_gauss, _as_given)
    for name, keep in (("kernel-of-masked-weights", False), ("kernel-of-kept-weights", True)):
        rows = []
        for (t, w, s, h), m in zip(layers, masks, strict=True):
            drawn = w.ravel()[s][m[s] > 0] if keep else (w.ravel() * m)[s]
            rows.append(gauss(np.array([t, -t]), w, drawn, h, 1.0))
        yield name, np.array(rows)


def _histogram_values(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    bins = evidence.conventions.histogram_bins
    points = [np.array([t, -t]) for t in evidence.given["thresholds"]]
    weights = [w.ravel() for w in evidence.weights.values()]
    masked = [evidence.given[f"sparse_weight/{n}"].ravel() for n in evidence.weights]
    for how in ("closed-above", "last-closed", "mass", "counts", "symmetric", "interpolated"):
        pairs = zip(points, weights, strict=True)
        yield f"histogram-{how}", np.array([_histogram(x, w, bins, how) for x, w in pairs])
    pairs = zip(points, weights, strict=True)
    magnitudes = [_histogram(x, np.abs(w), bins, "") for x, w in pairs]
    yield "histogram-of-magnitudes", np.array(magnitudes)
    pairs = zip(points, masked, strict=True)
    yield "histogram-of-masked-weights", np.array([_histogram(x, w, bins, "") for x, w in pairs])


VALUES: dict[str, Values] = {"densities": _densities}
