"""Mistakes in the rate, the control loss and their derivatives (Equations 3, 5, 8, 10, 11, 13)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Values
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations


def _rates(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    right, thresholds = evidence.value, evidence.given["thresholds"]
    weights = list(zip(evidence.weights.values(), thresholds, strict=True))
    masks = [evidence.given[f"mask/{name}"] for name in evidence.weights]
    yield "rate-of-kept", 1 - right
    yield "rate-from-half-masks", np.array([1 - m.mean() for m in masks])
    yield "rate-from-nonzero-masks", np.array([(m == 0).mean() for m in masks])
    yield "rate-signed", np.array([(w <= t).mean() for w, t in weights])
    dense = (evidence.setting.network.parameters[name] for name in evidence.weights)
    pairs = zip(dense, thresholds, strict=True)
    yield "rate-of-dense-weights", np.array([(np.abs(w) <= t).mean() for w, t in pairs])
    yield "rate-is-count", right * evidence.sizes
    if "rates" in evidence.earlier:
        yield "rate-of-earlier-step", evidence.earlier["rates"]
    smooth = [
        equations.sparsity_rate_integral(
            t, w.ravel()[s] if s.size else w, bandwidth_of(w, evidence.conventions)
        )
        for (w, t), s in zip(weights, evidence.samples, strict=True)
    ]
    yield "rate-integral", np.array(smooth)


def _reached(evidence: Evidence) -> tuple[Array, Array, float, float]:
    """Return r, N / sum(N), the global rate R and the target r_0."""
    r, share = evidence.given["rates"], evidence.sizes / evidence.sizes.sum()
    return r, share, float((r * share).sum()), evidence.setting.target


def _control_loss(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    r, share, R, target = _reached(evidence)
    yield "control-squared", np.asarray((R - target) ** 2)
    yield "control-half-square", np.asarray((R - target) ** 2 / 2)
    yield "control-signed", np.asarray(R - target)
    yield "control-unweighted", np.abs(r.mean() - target)
    if target:
        yield "control-relative", np.asarray(abs(R / target - 1))
    yield "control-of-kept-target", np.asarray(abs(R - (1 - target)))
    yield "control-counts", np.asarray(abs(R - target) * evidence.sizes.sum())
    yield "control-per-layer", (np.abs(r - target) * share).sum()
    for i, side in ((0, "first"), (-1, "last")):
        rest = np.arange(len(r)) != i % len(r)
        other = (r * share)[rest].sum() / share[rest].sum()
        yield f"{side}-layer-left-out", np.abs(other - target)


def _total_loss(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    control, loss = evidence.given["control_loss"], evidence.given["reconstruction_loss"]
    yield "total-without-control", loss
    yield "total-control-alone", control
    yield "total-difference", loss - control
    yield "total-squared", loss + control**2
    yield "total-product", loss * control
    yield "total-mean", (loss + control) / 2
    for weight in (0.1, 0.5, 2, 10, 100):
        yield f"total-weight-{weight:g}", loss + weight * control


def _drate_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    p = evidence.given["densities"]
    yield "drate-one-side", p[:, 0]
    yield "drate-other-side", p[:, 1]
    yield "drate-twice-one-side", 2 * p[:, 0]
    yield "drate-difference", p[:, 0] - p[:, 1]
    yield "drate-mean", p.mean(axis=1)
    yield "drate-sign", -evidence.value
    yield "drate-product", p[:, 0] * p[:, 1]


def _dcontrol_drate(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    r, share, R, target = _reached(evidence)
    right, excess = evidence.value, R - target
    if abs(excess) < 1e-12:
        yield "dcontrol-at-target", share
        yield "dcontrol-at-target", -share
    else:
        yield "dcontrol-sign", -right
        yield "control-of-kept-target", np.sign(R - (1 - target)) * share
    sign = np.sign(right)
    yield "dcontrol-unweighted", sign / len(r)
    if r.mean() != target:
        yield "control-unweighted", np.full(len(r), np.sign(r.mean() - target) / len(r))
    yield "control-counts", sign * evidence.sizes
    yield "dcontrol-sign-alone", sign
    if excess:
        yield "control-squared", 2 * excess * share
        yield "control-half-square", excess * share
    if target:
        yield "control-relative", right / target
    yield "control-per-layer", np.sign(r - target) * share
    yield "dcontrol-largest", sign * share / share.max()


def _dcontrol_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    by_rate, bridge = evidence.given["dcontrol_drate"], evidence.given["drate_dthreshold"]
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
    "control_loss": _control_loss,
    "total_loss": _total_loss,
    "drate_dthreshold": _drate_dthreshold,
    "dcontrol_drate": _dcontrol_drate,
    "dcontrol_dthreshold": _dcontrol_dthreshold,
}
