"""Mistakes in the histogram that the authors' code has in place of Equation 12."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import Values

BINS = (8, 10, 20, 30, 32, 50, 64, 128, 200, 255, 512, 1000, 1024, 2048)
SPANS = {"-1 to 1": (-1.0, 1.0), "0 to 1": (0.0, 1.0), "-0.5 to 0.5": (-0.5, 0.5)}

Place = Callable[[Array, Array], Array]
"""Of the edges and the points: the number of the bin that each is looked up in."""


def _above(edges: Array, x: Array) -> Array:
    return np.searchsorted(edges, x, side="right") - 1


PLACES: dict[str, Place] = {
    "closed-above": lambda edges, x: np.searchsorted(edges, x, side="left") - 1,
    "next-bin": lambda edges, x: _above(edges, x) + 1,
    "bin-before": lambda edges, x: _above(edges, x) - 1,
    "nearest-edge": lambda edges, x: np.abs(x[:, np.newaxis] - edges).argmin(axis=1),
    "last-closed": lambda edges, x: _above(edges, x) - (x == edges[-1]),
    "ends-continued": lambda edges, x: np.clip(_above(edges, x), 0, len(edges) - 2),
}
"""Other ways to look a point up; outside of the bins the density is 0."""

Height = Callable[[Array, float, int], Array]
"""Of the counts, the bins' width and the number of weights: the height of every bin."""


def _density(counts: Array, width: float, size: int) -> Array:
    return counts / (size * width)


HEIGHTS: dict[str, Height] = {
    "mass": lambda counts, width, size: counts / size,
    "counts": lambda counts, width, size: counts,
}


def _histogram(
    x: Array,
    w: Array,
    bins: int,
    *,
    span: tuple[float, float] | None = None,
    place: Place = _above,
    height: Height = _density,
) -> Array:
    counts, edges = np.histogram(w, bins=bins, range=span)
    heights, k = height(counts, edges[1] - edges[0], w.size), place(edges, x)
    return np.where((k >= 0) & (k < bins), heights[np.clip(k, 0, bins - 1)], 0.0)


def _interpolated(x: Array, w: Array, bins: int) -> Array:
    counts, edges = np.histogram(w, bins=bins)
    middles = (edges[:-1] + edges[1:]) / 2
    heights = _density(counts, edges[1] - edges[0], w.size)
    return np.asarray(np.interp(x, middles, heights, left=0.0, right=0.0))


def _spans(weights: list[Array]) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield other spans of the bins, one of each layer."""
    for text, span in SPANS.items():
        yield text, [span] * len(weights)
    for times in (2, 3):
        middles = [(w.mean(), times * w.std(ddof=1)) for w in weights]
        yield f"the mean and {times} deviations", [(m - s, m + s) for m, s in middles]
    yield "0 to the largest weight", [(0.0, max(w.max(), 1e-300)) for w in weights]
    together = np.concatenate(weights)
    yield "that of all layers", [(together.min(), together.max())] * len(weights)


def _densities(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    if evidence.conventions.density == "kernel":
        return
    bins = evidence.conventions.histogram_bins
    points = [np.array([t, -t]) for t in evidence.given["thresholds"]]
    weights = [w.ravel() for w in evidence.weights.values()]
    pairs = list(zip(points, weights, strict=True))
    for text, place in PLACES.items():
        rows = [_histogram(x, w, bins, place=place) for x, w in pairs]
        yield f"histogram-{text}", np.array(rows)
    for text, height in HEIGHTS.items():
        rows = [_histogram(x, w, bins, height=height) for x, w in pairs]
        yield f"histogram-{text}", np.array(rows)
    yield "histogram-interpolated", np.array([_interpolated(x, w, bins) for x, w in pairs])
    tops = [np.abs(w).max() for w in weights]
    symmetric = zip(pairs, tops, strict=True)
    rows = [_histogram(x, w, bins, span=(-top, top)) for (x, w), top in symmetric]
    yield "histogram-symmetric", np.array(rows)
    for text, spans in _spans(weights):
        for height in (_density, lambda counts, width, size: counts / (counts.sum() * width)):
            rows = [
                _histogram(x, w, bins, span=span, height=height)
                for (x, w), span in zip(pairs, spans, strict=True)
            ]
            yield f"histogram-range{MARK}{text}", np.array(rows)
    for other in BINS:
        yield f"histogram-bins{MARK}{other}", np.array([_histogram(x, w, other) for x, w in pairs])
    for text, others in _others(evidence):
        rows = [_histogram(x, w, bins) for x, w in zip(points, others, strict=True)]
        yield f"histogram-of-{text}", np.array(rows)


def _others(evidence: Evidence) -> Iterator[tuple[str, list[Array]]]:
    """Yield what is counted in place of the weights."""
    weights = evidence.weights
    yield "magnitudes", [np.abs(w) for w in weights.values()]
    yield "masked-weights", [evidence.given[f"sparse_weight/{name}"] for name in weights]
    kept = [w[evidence.given[f"mask/{name}"] != 0] for name, w in weights.items()]
    if all(w.size for w in kept):
        yield "kept-weights", kept


VALUES: dict[str, Values] = {"densities": _densities}
