"""Mistakes in the rate, the control loss and their derivatives (Equations 3, 5, 8, 10, 11, 13)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations

RATES, LOSS, TOTAL = ("rates",), ("control_loss",), ("total_loss",)
BY_RATE, BRIDGE, BY_THRESHOLD = ("dcontrol_drate",), ("drate_dthreshold",), ("dcontrol_dthreshold",)

NAMES = {
    "rate-of-kept": Mistake("the share of kept weights, not of pruned ones", "1 - r", RATES, "mask.mean()", 9),
    "rate-from-half-masks": Mistake("the mean of 1 - M: a mask of 0.5 counts half", "1 - mean(M)", RATES, point=9),
    "rate-from-nonzero-masks": Mistake("the share of masks that are 0: one of 0.5 is kept", "#(M = 0) / N", RATES, point=9),
    "rate-integral": Mistake("the integral of the estimated density, not the exact count", "integral of p from -t to t", RATES, point=9),
    "rate-signed": Mistake("the weight's sign is not taken off: w <= t", "#(w <= t) / N", RATES, "abs is missing"),
    "rate-of-dense-weights": Mistake("the rate of the dense network's weights", "#(|w_dense| <= t) / N", RATES),
    "rate-is-count": Mistake("the number of pruned weights, not their share", "#(|w| <= t)", RATES),
    "rate-of-earlier-step": Mistake("the rates of the step before", "r of the step before", RATES, "a stale mask"),
    "control-squared": Mistake("squared", "(R - r_0)^2", (*LOSS, *BY_RATE), "an option of the authors' code", 13),
    "control-half-square": Mistake("half the square", "(R - r_0)^2 / 2", (*LOSS, *BY_RATE), "a mean squared error", 13),
    "control-signed": Mistake("signed: the absolute value is missing", "R - r_0", LOSS, "abs is missing"),
    "control-unweighted": Mistake(
        "the plain mean of the rates, not weighted by N", "|mean(r) - r_0|", (*LOSS, *BY_RATE), "rates.mean()"
    ),
    "control-relative": Mistake("relative to the target", "|R / r_0 - 1|", (*LOSS, *BY_RATE)),
    "control-of-kept-target": Mistake(
        "the target 1 - r_0: the kept share", "|R - (1 - r_0)|", (*LOSS, *BY_RATE), "a density in place of a sparsity rate"
    ),
    "control-counts": Mistake("counted in weights, not as a share", "|sum(r N) - r_0 sum(N)|", (*LOSS, *BY_RATE), "no division by sum(N)"),
    "control-per-layer": Mistake("the sum over layers of |r_l - r_0| N_l / sum(N)", "sum |r_l - r_0| N_l / sum(N)", (*LOSS, *BY_RATE), "abs inside the sum"),
    "total-without-control": Mistake("L_c is missing", "L = L_rec", TOTAL, point=13),
    "total-control-alone": Mistake("L_rec is missing", "L = L_c", TOTAL, point=13),
    "total-difference": Mistake("L_c is subtracted", "L = L_rec - L_c", TOTAL, point=13),
    "total-squared": Mistake("L_c enters squared", "L = L_rec + L_c^2", TOTAL, point=13),
    "total-product": Mistake("the losses are multiplied", "L = L_rec L_c", TOTAL, point=13),
    "total-mean": Mistake("the mean of the losses", "L = (L_rec + L_c) / 2", TOTAL, point=13),
    "total-weight-2": Mistake("L_rec + 2 L_c", "L = L_rec + 2 L_c", TOTAL, point=13),
    "total-weight-10": Mistake("L_rec + 10 L_c", "L = L_rec + 10 L_c", TOTAL, point=13),
    "total-weight-100": Mistake("L_rec + 100 L_c", "L = L_rec + 100 L_c", TOTAL, point=13),
    "total-weight-0.5": Mistake("L_rec + 0.5 L_c", "L = L_rec + 0.5 L_c", TOTAL, point=13),
    "total-weight-0.1": Mistake("L_rec + 0.1 L_c", "L = L_rec + 0.1 L_c", TOTAL, point=13),
    "drate-one-side": Mistake("p(-t) is missing", "p(t)", BRIDGE, "the derivative of one limit of the integral"),
    "drate-twice-one-side": Mistake("2 p(t), as if p were symmetric", "2 p(t)", BRIDGE),
    "drate-other-side": Mistake("p(t) is missing", "p(-t)", BRIDGE),
    "drate-difference": Mistake("p(t) - p(-t)", "p(t) - p(-t)", BRIDGE, "the inner derivative of -t is missing"),
    "drate-mean": Mistake("the mean of both sides", "(p(t) + p(-t)) / 2", BRIDGE),
    "drate-sign": Mistake("the sign of dr/dt", "-(p(t) + p(-t))", BRIDGE),
    "dcontrol-at-target": Mistake(
        "the rate is on the target but for rounding, which decides the sign",
        "sgn(R - r_0) N / sum(N) of rounded rates",
        BY_RATE,
        "equality has a tolerance: Equation 8 of docs/specification.md",
        12,
    ),
    "dcontrol-sign": Mistake("the sign", "-dL_c/dr", BY_RATE),
    "dcontrol-unweighted": Mistake("layers are not weighted by N", "+-1 / L", BY_RATE, "the mean of the rates"),
    "dcontrol-counts": Mistake("no division by the sum of N", "+-N_l", BY_RATE),
    "dcontrol-sign-alone": Mistake("the sign alone, without N_l / sum(N)", "+-1", BY_RATE),
    "dcontrol-largest": Mistake("divided by the largest layer", "+-N_l / max(N)", BY_RATE),
    "dcontrol-without-drate": Mistake("dr/dt is missing", "dL_c/dr", BY_THRESHOLD),
    "dcontrol-divided": Mistake("divided by dr/dt", "dL_c/dr / (dr/dt)", BY_THRESHOLD, "dt/dr in place of dr/dt"),
    "dcontrol-without-weight": Mistake("N_l / sum(N) is missing", "+-dr/dt", BY_THRESHOLD),
    "dcontrol-drate-alone": Mistake("the sign is missing", "N_l / sum(N) |dr/dt|", BY_THRESHOLD, "abs without its derivative"),
    "dcontrol-threshold-sign": Mistake("the sign of Equation 13", "-dL_c/dr dr/dt", BY_THRESHOLD),
    "dcontrol-drate-squared": Mistake("dr/dt enters twice", "dL_c/dr (dr/dt)^2", BY_THRESHOLD),
    "dcontrol-times-threshold": Mistake("multiplied by t", "dL_c/dr dr/dt t", BY_THRESHOLD),
    "dcontrol-times-loss": Mistake("multiplied by L_c", "L_c dL_c/dr dr/dt", BY_THRESHOLD),
}  # fmt: skip


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


def _dcontrol_drate(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    r, share, R, target = _reached(evidence)
    right, excess = evidence.value, R - target
    if abs(excess) < 1e-12:
        for sign in (1, -1):
            yield "dcontrol-at-target", sign * share
    else:
        yield "dcontrol-sign", -right
        yield "control-of-kept-target", np.sign(R - (1 - target)) * share
    sign = np.sign(right)
    yield "dcontrol-unweighted", sign / len(r)
    if r.mean() != target:
        yield "control-unweighted", np.full(len(r), np.sign(r.mean() - target) / len(r))
    yield "dcontrol-counts", sign * evidence.sizes
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
