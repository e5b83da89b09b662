"""Mistakes in Equations 7 to 14, the gradients of the thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array, Candidate, Evidence
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations


def _densities(evidence: Evidence) -> Iterator[Candidate]:
    conventions = evidence.conventions
    for text, estimate in _density_mistakes(evidence).items():
        layers = zip(
            evidence.expected["thresholds"],
            evidence.weights.values(),
            evidence.samples,
            strict=True,
        )
        yield 10, text, np.array([estimate(np.array([t, -t]), w, s) for t, w, s in layers])
    if conventions.density == "kernel":
        h = np.array([bandwidth_of(w, conventions) for w in evidence.weights.values()])[
            :, np.newaxis
        ]
        yield 10, "the kernels are not divided by the bandwidth", evidence.value * h


def _density_mistakes(evidence: Evidence) -> dict[str, Callable[[Array, Array, Array], Array]]:
    conventions = evidence.conventions
    factor = conventions.bandwidth_factor

    def right_closed(points: Array, w: Array, _: Array) -> Array:
        heights, edges = np.histogram(w, bins=conventions.histogram_bins, density=True)
        k = np.searchsorted(edges, points, side="left") - 1
        inside = (k >= 0) & (k < len(heights))
        return np.where(inside, heights[np.clip(k, 0, len(heights) - 1)], 0.0)

    def last_bin_closed(points: Array, w: Array, _: Array) -> Array:
        inside = equations.histogram_density(points, w, bins=conventions.histogram_bins)
        heights, edges = np.histogram(w, bins=conventions.histogram_bins, density=True)
        return np.where(points == edges[-1], heights[-1], inside)

    def kernel(points: Array, w: Array, h: Any) -> Array:
        return equations.density(points, w, h)

    if conventions.density == "histogram":
        return {
            "histogram bins are closed above, not below": right_closed,
            "the last bin is closed when looked up": last_bin_closed,
        }
    return {
        "the biased standard deviation in the bandwidth": lambda x, w, s: kernel(
            x, w.ravel()[s], factor * w.std()
        ),
        "the standard deviation of the samples, not of the layer": lambda x, w, s: kernel(
            x, w.ravel()[s], factor * w.ravel()[s].std(ddof=1)
        ),
        "all weights of the layer, not the drawn ones": lambda x, w, s: kernel(
            x, w.ravel(), bandwidth_of(w, conventions)
        ),
    }


def _drate_dthreshold(evidence: Evidence) -> Iterator[Candidate]:
    p = evidence.expected["densities"]
    yield None, "p(-t) is missing", p[:, 0]
    yield None, "2 p(t), as if p were symmetric", 2 * p[:, 0]
    yield None, "p(t) - p(-t)", p[:, 0] - p[:, 1]


def _dcontrol_drate(evidence: Evidence) -> Iterator[Candidate]:
    r, N = evidence.expected["rates"], np.array([w.size for w in evidence.weights.values()])
    excess = abs((r * N).sum() / N.sum() - evidence.setting.target)
    if excess < 1e-12:
        text = f"the rate is on the target but for rounding ({excess:.1g}), which decides the sign"
        yield 12, text, -evidence.value
        yield 12, text, np.sign(evidence.mine.sum()) * N / N.sum()
    yield None, "the sign", -evidence.value
    yield None, "layers are not weighted by N", np.sign(evidence.value) / len(N)
    yield None, "no division by the sum of N", np.sign(evidence.value) * N


def _dcontrol_dthreshold(evidence: Evidence) -> Iterator[Candidate]:
    yield None, "dr/dt is missing", evidence.expected["dcontrol_drate"]
    total = evidence.value.sum()
    weight = evidence.mine.sum() / total if total else np.nan
    if np.isfinite(weight):
        yield 13, f"weighted with {weight:.6g}", evidence.value * weight


def _dmask_dthreshold(evidence: Evidence) -> Iterator[Candidate]:
    u = np.abs(evidence.weights[evidence.item]) - evidence.expected["thresholds"][evidence.layer]
    yield 2, "the surrogate's sign", -evidence.value
    yield 2, "the factor 0.5 of Equation 1 is missing", 2 * evidence.value
    yield 2, "straight through everywhere, not clipped to -1 < |w| - t < 1", np.full_like(u, -0.5)
    yield 2, "clipped to half the width", np.where(np.abs(u) < 0.5, -0.5, 0.0)
    yield 2, "the derivative of a step: 0", np.zeros_like(u)
    yield 2, "the derivative of tanh", -0.5 * (1 - np.tanh(u) ** 2)
    sigmoid = 1 / (1 + np.exp(-u))
    yield 2, "the derivative of a sigmoid", -sigmoid * (1 - sigmoid)


def _dmask(evidence: Evidence) -> Iterator[Candidate]:
    W, M = evidence.weights[evidence.item], evidence.expected[f"mask/{evidence.item}"]
    dsparse = evidence.expected[f"dsparse_weight/{evidence.item}"]
    yield 3, "pruned weights are left out", evidence.value * (M != 0)
    yield None, "the factor W is missing", dsparse
    yield 3, "nothing reaches the mask", np.zeros_like(W)


def _dreconstruction_dthreshold(evidence: Evidence) -> Iterator[Candidate]:
    parts = {
        name: evidence.expected[f"dmask/{name}"] * evidence.expected[f"dmask_dthreshold/{name}"]
        for name in evidence.weights
    }
    kept = {name: evidence.expected[f"mask/{name}"] != 0 for name in parts}
    yield 3, "pruned weights are left out", np.array([p[kept[n]].sum() for n, p in parts.items()])
    yield 3, "L_rec does not reach the thresholds", np.zeros(len(parts))
    yield (
        None,
        "the mean over the weights in place of the sum",
        np.array([p.mean() for p in parts.values()]),
    )
    yield 2, "the surrogate's sign", -evidence.value


def _dthreshold(evidence: Evidence) -> Iterator[Candidate]:
    control = evidence.expected.get("dcontrol_dthreshold")
    reconstruction = evidence.expected.get("dreconstruction_dthreshold")
    if control is not None:
        yield 3, "L_c alone moves the thresholds", control
    if reconstruction is not None:
        yield 13, "L_rec alone moves the thresholds", reconstruction
    yield None, "the sign", -evidence.value


MISTAKES = {
    "densities": _densities,
    "drate_dthreshold": _drate_dthreshold,
    "dcontrol_drate": _dcontrol_drate,
    "dcontrol_dthreshold": _dcontrol_dthreshold,
    "dmask_dthreshold": _dmask_dthreshold,
    "dmask": _dmask,
    "dreconstruction_dthreshold": _dreconstruction_dthreshold,
    "dthreshold": _dthreshold,
}
"""Functions of the evidence, by quantity."""
