"""Mistakes in the rates and in their derivative by the thresholds (Equations 10, 11 and 13)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import expit

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations

SLOPES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Of a sigmoid that counts softly."""


def _rates(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right, thresholds = evidence.value, evidence.given["thresholds"]
    weights = list(zip(evidence.weights.values(), thresholds, strict=True))
    masks = [evidence.given[f"mask/{name}"] for name in evidence.weights]
    yield "rate-of-kept", 1 - right
    yield "rate-of-kept", np.array([(np.abs(w) > t).mean() for w, t in weights])
    yield "rate-from-half-masks", np.array([1 - m.mean() for m in masks])
    yield "rate-from-nonzero-masks", np.array([(m == 0).mean() for m in masks])
    yield "rate-signed", np.array([(w <= t).mean() for w, t in weights])
    dense = (evidence.setting.network.parameters[name] for name in evidence.weights)
    pairs = zip(dense, thresholds, strict=True)
    yield "rate-of-dense-weights", np.array([(np.abs(w) <= t).mean() for w, t in pairs])
    yield "rate-is-count", right * evidence.sizes
    counts = sum(float((np.abs(w) <= t).sum()) for w, t in weights)
    yield "rate-of-network", np.full(len(weights), counts / evidence.sizes.sum())
    yield "rate-of-squares", np.array([(w * w <= t).mean() for w, t in weights])
    yield "rate-of-magnitude", np.array([_share_of_magnitude(w, t) for w, t in weights])
    before = evidence.earlier.get("thresholds")
    if before is not None:
        pairs = zip(evidence.weights.values(), before, strict=True)
        earlier = [(np.abs(w) <= t).mean() for w, t in pairs]
        yield "rate-at-earlier-thresholds", np.array(earlier)
    if "rates" in evidence.earlier:
        yield "rate-of-earlier-step", evidence.earlier["rates"]
    smooth = [
        equations.sparsity_rate_integral(
            t, w.ravel()[s] if s.size else w, bandwidth_of(w, evidence.conventions)
        )
        for (w, t), s in zip(weights, evidence.samples, strict=True)
    ]
    yield "rate-integral", np.array(smooth)
    yield "rate-is-0", np.zeros_like(right)
    yield from _soft_rates(evidence)


def _soft_rates(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """Yield the share of the weights by a sigmoid, or its derivative by the threshold."""
    weights, thresholds = evidence.weights.values(), evidence.given["thresholds"]
    excess = [t - np.abs(w) for w, t in zip(weights, thresholds, strict=True)]

    def counted(k: float) -> Array:
        if evidence.quantity == "rates":
            return np.array([expit(k * u).mean() for u in excess])
        return np.array([(k * expit(k * u) * expit(-k * u)).mean() for u in excess])

    yield "rate-soft", Constant(lambda found: SLOPES, counted)


def _share_of_magnitude(w: Array, t: float) -> float:
    size = np.abs(w)
    return float(size[size <= t].sum() / size.sum())


def _drate_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    p = evidence.given["densities"]
    yield from _soft_rates(evidence)
    names = [f"dmask_dthreshold/{n}" for n in evidence.layers]
    if all(name in evidence.given for name in names):
        yield "drate-by-surrogate", np.array([-evidence.given[n].mean() for n in names])
    yield "drate-one-side", p[:, 0]
    yield "drate-other-side", p[:, 1]
    yield "drate-twice-one-side", 2 * p[:, 0]
    yield "drate-difference", p[:, 0] - p[:, 1]
    yield "drate-mean", p.mean(axis=1)
    yield "drate-sign", -evidence.value
    yield "drate-product", p[:, 0] * p[:, 1]
    yield "rate-without-derivative", np.zeros_like(evidence.value)


def _dcontrol_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    by_rate, bridge = evidence.given["dcontrol_drate"], evidence.given["drate_dthreshold"]
    yield "rate-without-derivative", np.zeros_like(by_rate)
    yield "dcontrol-without-drate", by_rate
    yield "dcontrol-divided", by_rate / bridge
    yield "dcontrol-without-weight", np.sign(by_rate) * bridge
    yield "dcontrol-drate-alone", np.abs(by_rate) * bridge
    yield "dcontrol-threshold-sign", -evidence.value
    yield "dcontrol-drate-squared", by_rate * bridge**2
    yield "dcontrol-times-threshold", evidence.value * evidence.given["thresholds"]
    yield "dcontrol-times-loss", evidence.value * evidence.given["control_loss"]


VALUES: dict[str, Values] = {
    "rates": _rates,
    "drate_dthreshold": _drate_dthreshold,
    "dcontrol_dthreshold": _dcontrol_dthreshold,
}
