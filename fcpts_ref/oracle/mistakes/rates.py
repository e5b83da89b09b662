"""Mistakes in the rate, the control loss and their derivatives (Equations 3, 5, 8, 10, 11, 13)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import expit

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.total import control_weight
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations

SIGNED = {"control-signed", "control-above-alone", "control-below-alone", "control-squared"}
"""Mistakes whose derivative at the target is another choice of convention 12, or none."""


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


def _reached(evidence: Evidence) -> tuple[Array, Array, float, float]:
    """Return r, N / sum(N), the global rate R and the target r_0."""
    r, share = evidence.given["rates"], evidence.sizes / evidence.sizes.sum()
    return r, share, float((r * share).sum()), evidence.setting.target


def _nothing(found: Array) -> tuple[float, ...]:
    """A derivative alone does not tell the constant."""
    return ()


def _controls(evidence: Evidence) -> Iterator[tuple[str, Array | float, Array]]:
    """Yield the control loss with each mistake, and its derivative by the rates."""
    r, share, R, target = _reached(evidence)
    L, size, excess = len(r), evidence.sizes.sum(), R - target
    sign = np.sign(excess)
    yield "control-squared", excess**2, 2 * excess * share
    yield "control-half-square", excess**2 / 2, excess * share
    yield "control-signed", excess, share
    yield (
        "control-unweighted",
        np.abs(r.mean() - target),
        np.full(L, np.sign(r.mean() - target) / L),
    )
    for ramp in _ramps(evidence):
        yield "control-ramp", np.abs(R - target * ramp), np.sign(R - target * ramp) * share
    if target:
        yield "control-relative", np.abs(R / target - 1), sign * share / target
    yield "control-mean-per-layer", np.abs(r - target).mean(), np.sign(r - target) / L
    yield "control-percent", 100 * np.abs(excess), 100 * sign * share
    kept = R - (1 - target)
    yield "control-of-kept-target", np.abs(kept), np.sign(kept) * share
    yield "control-counts", np.abs(excess) * size, sign * evidence.sizes
    yield "control-per-layer", (np.abs(r - target) * share).sum(), np.sign(r - target) * share
    yield "control-above-alone", np.maximum(excess, 0), (excess > 0) * share
    yield "control-below-alone", np.maximum(-excess, 0), -(excess < 0) * share
    everything = sum(p.size for p in evidence.state.parameters.values())
    for sizes in (evidence.sizes / everything, (evidence.sizes + _others(evidence)) / everything):
        more = r @ sizes - target
        yield "control-over-all-parameters", np.abs(more), np.sign(more) * sizes
    for text, sizes in _other_sizes(evidence):
        inside = sizes / sizes.sum()
        yield (
            f"control-weighted={text}",
            np.abs(inside @ r - target),
            np.sign(inside @ r - target) * inside,
        )
    pruned = (r > 0) * share
    if pruned.any():
        inside = pruned / pruned.sum()
        yield (
            "control-of-pruned-layers",
            np.abs(inside @ r - target),
            np.sign(inside @ r - target) * inside,
        )
    for i, side in ((0, "first"), (-1, "last")):
        rest = (np.arange(L) != i % L) * share / np.delete(share, i).sum()
        other = rest @ r - target
        yield f"{side}-layer-left-out", np.abs(other), np.sign(other) * rest


def _ramps(evidence: Evidence) -> Iterator[float]:
    """Yield the shares of the target that ramps from 0 have reached."""
    schedule, k = evidence.setting.schedule, evidence.state.step
    if schedule is not None:
        steps = schedule.epochs * (schedule.calibration_images // schedule.batch_size)
        for done in (k / steps, (k + 1) / steps):
            yield done
            yield 1 - (1 - done) ** 3
            yield 0.5 * (1 - math.cos(math.pi * done))


def _other_sizes(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """Yield other weights of the layers than their numbers of weights."""
    shapes = [w.shape for w in evidence.weights.values()]
    yield "outputs", np.array([float(shape[0]) for shape in shapes])
    yield "inputs", np.array([float(shape[1]) for shape in shapes])
    yield "fan-in", np.array([math.prod(shape[1:]) for shape in shapes], dtype=np.float64)
    yield "kernel", np.array([math.prod(shape[2:]) for shape in shapes], dtype=np.float64)
    yield "outputs inputs", np.array([math.prod(shape[:2]) for shape in shapes], dtype=np.float64)
    yield "sqrt(N)", np.sqrt(evidence.sizes)
    yield "N^2", evidence.sizes**2
    yield "log(N)", np.log(evidence.sizes)
    kept = [float((evidence.given[f"mask/{n}"] != 0).sum()) for n in evidence.weights]
    if sum(kept):
        yield "kept weights", np.array(kept)
    outputs = [
        evidence.given.get(f"activation/{n.removesuffix('.weight')}") for n in evidence.layers
    ]
    if all(y is not None for y in outputs):
        pixels = [y[0].size / len(y[0]) for y in outputs if y is not None]
        yield "multiplications", evidence.sizes * np.array(pixels)


def _others(evidence: Evidence) -> Array:
    """Return the number of parameters that a layer has besides its weight: its bias."""
    parameters = evidence.state.parameters
    biases = [n.removesuffix("weight") + "bias" for n in evidence.layers]
    return np.array([parameters[n].size if n in parameters else 0 for n in biases])


def _control_loss(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    for name, loss, _ in _controls(evidence):
        yield name, np.asarray(loss)
    _, _, R, target = _reached(evidence)
    yield (
        "control-target",
        Constant(
            lambda found: (R - float(found), R + float(found)),
            lambda other: np.asarray(abs(R - other)),
            (target, 1 - target),
        ),
    )


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


def _dcontrol_drate(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    r, share, R, target = _reached(evidence)
    right, excess = evidence.value, R - target
    at_target = abs(excess) < 1e-12
    for name, _, derivative in _controls(evidence):
        if not (at_target and name in SIGNED):
            yield name, derivative
    if at_target:
        yield "dcontrol-at-target", share
        yield "dcontrol-at-target", -share
    else:
        yield "dcontrol-sign", -right
        yield (
            "control-target",
            Constant(_nothing, lambda other: np.sign(R - other) * share, (target,)),
        )
    yield "rate-without-derivative", np.zeros_like(right)
    sign = np.sign(right)
    yield "dcontrol-unweighted", sign / len(r)
    yield "dcontrol-sign-alone", sign
    yield "dcontrol-largest", sign * share / share.max()
    yield from control_weight(evidence)


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
    "control_loss": _control_loss,
    "drate_dthreshold": _drate_dthreshold,
    "dcontrol_drate": _dcontrol_drate,
    "dcontrol_dthreshold": _dcontrol_dthreshold,
}
