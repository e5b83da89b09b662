"""Mistakes in the control loss and its derivative by the rates (Equations 3 and 8)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.total import control_weight

SIGNED = {"control-signed", "control-above-alone", "control-below-alone", "control-squared"}
"""Mistakes whose derivative at the target is another choice of convention 12, or none."""


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


VALUES: dict[str, Values] = {
    "control_loss": _control_loss,
    "dcontrol_drate": _dcontrol_drate,
}
