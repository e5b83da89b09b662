"""What Equation 12 needs of a layer, and the estimate with one part of it changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.pruning.fcpts.step import bandwidth_of

ROOT = math.sqrt(2 * math.pi)


def gauss(z: Array) -> Array:
    """The standard normal density."""
    return np.asarray(np.exp(-0.5 * z * z) / ROOT)


@dataclass(frozen=True, eq=False)
class Layer:
    """points: t and -t.  w: the layer's weights (N,), and their mask.  samples: indices (n,).

    h: the bandwidth.  factor: what the deviation is multiplied by in it.
    """

    name: str
    points: Array
    w: Array
    mask: Array
    samples: Array
    h: float
    factor: float

    @property
    def drawn(self) -> Array:
        """The weights drawn."""
        return np.asarray(self.w[self.samples])

    @property
    def deviation(self) -> float:
        """The layer's unbiased standard deviation."""
        return float(self.w.std(ddof=1))

    def estimate(
        self,
        K: Callable[[Array], Array] = gauss,
        *,
        points: Array | None = None,
        drawn: Array | None = None,
        h: float | None = None,
        over: float | None = None,
    ) -> Array:
        """mean(K((x - w_i) / h)) / h, with any part from elsewhere.  over: the second h."""
        x = self.points if points is None else points
        w = self.drawn if drawn is None else drawn
        h = self.h if h is None else h
        return np.asarray(
            K((x[:, np.newaxis] - w) / h).mean(axis=1) / (h if over is None else over)
        )


def kernel_layers(evidence: Evidence) -> list[Layer]:
    """Return all layers; none if the density is a histogram."""
    c = evidence.conventions
    if c.density != "kernel":
        return []
    rows = zip(
        evidence.weights.items(), evidence.given["thresholds"], evidence.samples, strict=True
    )
    return [
        Layer(
            name,
            np.array([t, -t]),
            w.ravel(),
            evidence.given[f"mask/{name}"].ravel(),
            samples,
            bandwidth_of(w, c),
            c.bandwidth_factor,
        )
        for (name, w), t, samples in rows
    ]


def stacked(estimate: Callable[[Layer], Array], layers: Iterable[Layer]) -> Array:
    """Return the densities (L, 2)."""
    return np.array([estimate(layer) for layer in layers])


def _densities(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    yield "density-both-at-t", evidence.value[:, [0, 0]]
    yield "density-swapped", evidence.value[:, ::-1]


VALUES: dict[str, Values] = {"densities": _densities}
