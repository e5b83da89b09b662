"""Mistakes in Equations 9 and 14, and in joining the gradients of thresholds and weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values

SURROGATE, MASK, REC = ("dmask_dthreshold",), ("dmask",), ("dreconstruction_dthreshold",)
BOTH, WEIGHT, LEARNED = ("dthreshold",), ("dweight",), ("dparameter",)
PARAMETER = ("dthreshold_parameter",)

NAMES = {
    "surrogate-sign": Mistake("the surrogate's sign", "dM/dt = +0.5 inside", SURROGATE, "the inner derivative of -t", 2),
    "surrogate-doubled": Mistake("the factor 0.5 of Equation 1 is missing", "dM/dt = -1 inside", SURROGATE, "d sgn/du alone", 2),
    "surrogate-unclipped": Mistake(
        "straight through everywhere, not clipped to -1 < |w| - t < 1", "dM/dt = -0.5", SURROGATE, "the plain estimator", 2
    ),
    "surrogate-half-width": Mistake("clipped to half the width", "-0.5 where ||w| - t| < 0.5", SURROGATE, point=2),
    "surrogate-double-width": Mistake("clipped to twice the width", "-0.5 where ||w| - t| < 2", SURROGATE, point=2),
    "surrogate-zero": Mistake("the derivative of a step: 0", "dM/dt = 0", SURROGATE, "no surrogate, as autograd of sign", 2),
    "surrogate-tanh": Mistake("the derivative of tanh", "-0.5 (1 - tanh(u)^2)", SURROGATE, point=2),
    "surrogate-sigmoid": Mistake("the derivative of a sigmoid", "-sigmoid(u) (1 - sigmoid(u))", SURROGATE, point=2),
    "surrogate-gauss": Mistake("the density of a normal distribution", "-exp(-u^2 / 2) / sqrt(2 pi)", SURROGATE, point=2),
    "surrogate-triangle": Mistake("a triangle", "-0.5 max(0, 1 - |u|)", SURROGATE, point=2),
    "surrogate-of-magnitude": Mistake("clipped by |w|, not by |w| - t", "-0.5 where |w| < 1", SURROGATE, "Htanh of w", 2),
    "surrogate-where-kept": Mistake("only where the weight is kept", "-0.5 M", SURROGATE, point=2),
    "dmask-pruned-left-out": Mistake(
        "pruned weights are left out", "dL/dM = dL/dW W, 0 where pruned", MASK, "the gradient of W, which autograd has masked, in place of that of M W", 3
    ),
    "dmask-without-weight": Mistake("the factor W is missing", "dL/dM = dL/dW_sparse", MASK),
    "dmask-zero": Mistake("nothing reaches the mask", "0", MASK, "the mask is detached, as in the authors' code", 3),
    "dmask-by-magnitude": Mistake("multiplied by |W|", "dL/dW_sparse |W|", MASK, "abs is taken first"),
    "dmask-by-sign": Mistake("multiplied by the sign of W alone", "dL/dW_sparse sgn(W)", MASK, "d|w|/dw in place of w"),
    "dmask-by-square": Mistake("multiplied by W^2", "dL/dW_sparse W^2", MASK),
    "dmask-of-dense-weight": Mistake("multiplied by the dense network's weight", "dL/dW_sparse W_dense", MASK),
    "dmask-minus": Mistake("the sign of dL/dM", "-dL/dW_sparse W", MASK),
    "drec-pruned-left-out": Mistake("pruned weights are left out", "the sum over kept weights", REC, point=3),
    "drec-kept-left-out": Mistake("kept weights are left out", "the sum over pruned weights", REC, point=3),
    "drec-zero": Mistake("L_rec does not reach the thresholds", "0", REC, "detach, or no_grad around the mask", 3),
    "drec-mean": Mistake("the mean over the weights in place of the sum", "mean(dL/dM dM/dt)", REC),
    "drec-magnitudes": Mistake("magnitudes are summed", "sum |dL/dM dM/dt|", REC),
    "drec-sign": Mistake("the surrogate's sign", "-dL_rec/dt", REC, point=2),
    "drec-doubled": Mistake("the factor 0.5 of Equation 1 is missing", "2 dL_rec/dt", REC, point=2),
    "drec-without-surrogate": Mistake("dM/dt is missing", "sum(dL/dM)", REC),
    "dthreshold-control-alone": Mistake("L_c alone moves the thresholds", "dL_c/dt", BOTH, point=3),
    "dthreshold-reconstruction-alone": Mistake("L_rec alone moves the thresholds", "dL_rec/dt", BOTH, point=13),
    "dthreshold-sign": Mistake("the sign", "-dL/dt", BOTH),
    "dthreshold-difference": Mistake("the two gradients are subtracted", "dL_rec/dt - dL_c/dt", BOTH, point=13),
    "dthreshold-other-difference": Mistake("L_rec is subtracted", "dL_c/dt - dL_rec/dt", BOTH, point=13),
    "dthreshold-mean": Mistake("the mean of the two gradients", "(dL_rec/dt + dL_c/dt) / 2", BOTH, point=13),
    "dthreshold-weight-10": Mistake("L_c counts ten times", "dL_rec/dt + 10 dL_c/dt", BOTH, point=13),
    "dthreshold-weight-0.1": Mistake("L_c counts a tenth", "dL_rec/dt + 0.1 dL_c/dt", BOTH, point=13),
    "dthreshold-twice": Mistake("L_c is added twice", "dL_rec/dt + 2 dL_c/dt", BOTH, "both losses are propagated, and their sum too", 13),
    "dthreshold-through-sum": Mistake("L_c's gradient multiplies that of L_rec", "dL_rec/dt dL_c/dt", BOTH, point=13),
    "dweight-unmasked": Mistake("dL/dW is not masked: straight through to pruned weights", "dL/dW = dL/dW_sparse", WEIGHT, "a straight-through estimator for the weights", 4),
    "dweight-mask-squared": Mistake("the mask is multiplied twice", "M^2 dL/dW_sparse", WEIGHT, "shows only where masks are 0.5"),
    "dweight-through-mask-sign": Mistake("the mask's dependence on W, with the wrong sign", "M dL/dW_sparse - 0.5 dL/dM sgn(w)", WEIGHT, point=4),
    "dweight-through-mask-unsigned": Mistake("the mask's dependence on W, without sgn(w)", "M dL/dW_sparse + 0.5 dL/dM", WEIGHT, "d|w|/dw is missing", 4),
    "dweight-inverted": Mistake("the gradient of pruned weights alone", "(1 - M) dL/dW_sparse", WEIGHT),
    "dweight-stale-mask": Mistake("masked by the mask of the step before", "M_before dL/dW_sparse", WEIGHT),
    "dparameter-frozen": Mistake("it gets no gradient", "0", LEARNED, "requires_grad=False, or batch norm in eval()", 4),
    "dparameter-accumulated": Mistake("gradients are not set to 0 between steps", "the sum with the gradient of the step before", LEARNED, "zero_grad() is missing"),
    "dparameter-sum": Mistake("the sum over the batch", "B times the gradient", LEARNED, 'reduction="sum"'),
    "dparameter-mean-twice": Mistake("the mean over the batch is taken twice", "the gradient / B", LEARNED),
    "dparameter-with-decay": Mistake("weight decay is part of the gradient already", "gradient + decay w", LEARNED, point=16),
    "dparameter-unmasked": Mistake("not masked: straight through to pruned weights", "dL/dW_sparse", LEARNED, point=4),
    "dparameter-sign": Mistake("the sign", "minus the gradient", LEARNED),
    "dparameter-normalised": Mistake("the gradient is normalised", "gradient / ||gradient||", LEARNED, "clipping by its norm"),
    "sigmoid-derivative-missing": Mistake("the derivative t (1 - t) of the sigmoid is missing", "dL/dt", PARAMETER, point=7),
    "sigmoid-derivative-added": Mistake("multiplied by t (1 - t) though t itself is learned", "dL/dt t (1 - t)", PARAMETER, point=7),
    "sigmoid-derivative-t": Mistake("the sigmoid's derivative is taken to be t", "dL/dt t", PARAMETER, "that of exp", 7),
    "sigmoid-derivative-1-t": Mistake("the sigmoid's derivative is taken to be 1 - t", "dL/dt (1 - t)", PARAMETER, point=7),
    "sigmoid-derivative-of-s": Mistake("s (1 - s) in place of t (1 - t)", "dL/dt s (1 - s)", PARAMETER, "the input in place of the output", 7),
    "sigmoid-derivative-divided": Mistake("divided by t (1 - t)", "dL/dt / (t (1 - t))", PARAMETER, "ds/dt in place of dt/ds", 7),
    "sigmoid-derivative-twice": Mistake("t (1 - t) enters twice", "dL/dt (t (1 - t))^2", PARAMETER, "written by hand and by autograd", 7),
    "dthreshold-parameter-sign": Mistake("the sign", "-dL/ds", PARAMETER, point=7),
    "dthreshold-parameter-accumulated": Mistake("gradients are not set to 0 between steps", "the sum with the gradient of the step before", PARAMETER, "zero_grad() is missing"),
}  # fmt: skip


def _dmask_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    W = np.abs(evidence.weights[evidence.item])
    u, right = W - evidence.given["thresholds"][evidence.layer], evidence.value
    yield "surrogate-sign", -right
    yield "surrogate-doubled", 2 * right
    yield "surrogate-unclipped", np.full_like(u, -0.5)
    yield "surrogate-half-width", np.where(np.abs(u) < 0.5, -0.5, 0.0)
    yield "surrogate-double-width", np.where(np.abs(u) < 2, -0.5, 0.0)
    yield "surrogate-zero", np.zeros_like(u)
    yield "surrogate-tanh", -0.5 * (1 - np.tanh(u) ** 2)
    sigmoid = 1 / (1 + np.exp(-u))
    yield "surrogate-sigmoid", -sigmoid * (1 - sigmoid)
    yield "surrogate-gauss", -np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi)
    yield "surrogate-triangle", -0.5 * np.maximum(1 - np.abs(u), 0)
    yield "surrogate-of-magnitude", np.where(W < 1, -0.5, 0.0)
    yield "surrogate-where-kept", right * (evidence.given[f"mask/{evidence.item}"] != 0)


def _dmask(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    dsparse = evidence.given[f"dsparse_weight/{evidence.item}"]
    yield "dmask-pruned-left-out", evidence.value * (M != 0)
    yield "dmask-without-weight", dsparse
    yield "dmask-zero", np.zeros_like(W)
    yield "dmask-by-magnitude", dsparse * np.abs(W)
    yield "dmask-by-sign", dsparse * np.sign(W)
    yield "dmask-by-square", dsparse * W * W
    yield "dmask-of-dense-weight", dsparse * evidence.setting.network.parameters[evidence.item]
    yield "dmask-minus", -evidence.value


def _dreconstruction_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    given, names = evidence.given, evidence.layers
    parts = [given[f"dmask/{n}"] * given[f"dmask_dthreshold/{n}"] for n in names]
    kept = [given[f"mask/{n}"] != 0 for n in names]
    pairs = list(zip(parts, kept, strict=True))
    yield "drec-pruned-left-out", np.array([p[k].sum() for p, k in pairs])
    yield "drec-kept-left-out", np.array([p[~k].sum() for p, k in pairs])
    yield "drec-zero", np.zeros(len(parts))
    yield "drec-mean", np.array([p.mean() for p in parts])
    yield "drec-magnitudes", np.array([np.abs(p).sum() for p in parts])
    yield "drec-sign", -evidence.value
    yield "drec-doubled", 2 * evidence.value
    yield "drec-without-surrogate", np.array([given[f"dmask/{n}"].sum() for n in names])


def _dthreshold(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    yield "dthreshold-sign", -evidence.value
    control = evidence.given.get("dcontrol_dthreshold")
    reconstruction = evidence.given.get("dreconstruction_dthreshold")
    if control is None or reconstruction is None:
        return
    yield "dthreshold-control-alone", control
    yield "dthreshold-reconstruction-alone", reconstruction
    yield "dthreshold-difference", reconstruction - control
    yield "dthreshold-other-difference", control - reconstruction
    yield "dthreshold-mean", (control + reconstruction) / 2
    yield "dthreshold-weight-10", reconstruction + 10 * control
    yield "dthreshold-weight-0.1", reconstruction + 0.1 * control
    yield "dthreshold-twice", reconstruction + 2 * control
    yield "dthreshold-through-sum", reconstruction * control


def _dweight(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    dsparse = evidence.given[f"dsparse_weight/{evidence.item}"]
    through = (
        -0.5 * dsparse * W * (np.abs(np.abs(W) - evidence.given["thresholds"][evidence.layer]) < 1)
    )
    yield "dweight-unmasked", dsparse
    yield "dweight-mask-squared", M * M * dsparse
    yield "dweight-through-mask-sign", M * dsparse + through * np.sign(W)
    yield "dweight-through-mask-unsigned", M * dsparse - through
    yield "dweight-inverted", (1 - M) * dsparse
    before = evidence.earlier.get(f"mask/{evidence.item}")
    if before is not None:
        yield "dweight-stale-mask", before * dsparse


def _dparameter(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    right, w = evidence.value, evidence.state.parameters[evidence.item]
    yield "dparameter-frozen", np.zeros_like(right)
    if evidence.name in evidence.earlier:
        yield "dparameter-accumulated", right + evidence.earlier[evidence.name]
    yield "dparameter-sum", right * evidence.batch
    yield "dparameter-mean-twice", right / evidence.batch
    yield "dparameter-with-decay", right + evidence.conventions.weight_decay * w
    yield "dparameter-sign", -right
    yield "dparameter-normalised", right / np.sqrt((right * right).sum())
    dsparse = evidence.given.get(f"dsparse_weight/{evidence.item}")
    if dsparse is not None:
        yield "dparameter-unmasked", dsparse


def _dthreshold_parameter(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    t, dt, right = evidence.given["thresholds"], evidence.given["dthreshold"], evidence.value
    s, slope = evidence.state.threshold_parameters, t * (1 - t)
    if evidence.conventions.threshold_parameter == "sigmoid":
        yield "sigmoid-derivative-missing", dt
        yield "sigmoid-derivative-t", dt * t
        yield "sigmoid-derivative-1-t", dt * (1 - t)
        yield "sigmoid-derivative-of-s", dt * s * (1 - s)
        yield "sigmoid-derivative-divided", dt / slope
        yield "sigmoid-derivative-twice", dt * slope**2
    else:
        yield "sigmoid-derivative-added", dt * slope
    yield "dthreshold-parameter-sign", -right
    if evidence.name in evidence.earlier:
        yield "dthreshold-parameter-accumulated", right + evidence.earlier[evidence.name]


VALUES: dict[str, Values] = {
    "dmask_dthreshold": _dmask_dthreshold,
    "dmask": _dmask,
    "dreconstruction_dthreshold": _dreconstruction_dthreshold,
    "dthreshold": _dthreshold,
    "dweight": _dweight,
    "dparameter": _dparameter,
    "dthreshold_parameter": _dthreshold_parameter,
}
