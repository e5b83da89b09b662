"""Mistakes in Equations 9 and 14, and in joining the gradients of thresholds and weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import expit

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values


def _dmask_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Found]]:
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
    yield "surrogate-approximate-sign", -np.maximum(1 - np.abs(u), 0)
    yield "surrogate-arctan", -1 / (1 + (np.pi * u) ** 2)
    yield "surrogate-arctan", -1 / (np.pi * (1 + u * u))
    inside = np.maximum(1 - u * u, 0)
    yield "surrogate-parabola", -0.5 * inside
    yield "surrogate-parabola", -0.75 * inside
    yield "surrogate-exponential", -0.5 * np.exp(-np.abs(u))
    signed = evidence.weights[evidence.item] - evidence.given["thresholds"][evidence.layer]
    yield "surrogate-signed", np.where(np.abs(signed) < 1, -0.5, 0.0)
    yield "surrogate-of-magnitude", np.where(W < 1, -0.5, 0.0)
    t = evidence.given["thresholds"][evidence.layer]
    if t > 0:
        yield "surrogate-relative-window", np.where(np.abs(W / t - 1) < 1, -0.5, 0.0)
    yield (
        "surrogate-height",
        Constant(
            lambda found: ratio(found, 2 * right), lambda c: 2 * c * right, (0.0, 0.5, -0.5, 1.0)
        ),
    )
    yield (
        "surrogate-window",
        Constant(
            lambda found: (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.4, 3.0),
            lambda width: np.where(np.abs(u) < width, -0.5, 0.0),
        ),
    )
    yield (
        "surrogate-slope",
        Constant(
            lambda found: (2.0, 5.0, 10.0, 50.0, 100.0),
            lambda k: -k * expit(k * u) * expit(-k * u),
            (1.0,),
        ),
    )
    yield "surrogate-where-kept", right * (evidence.given[f"mask/{evidence.item}"] != 0)


def _dmask(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    dsparse = evidence.given[f"dsparse_weight/{evidence.item}"]
    yield "dmask-pruned-left-out", evidence.value * (M != 0)
    yield "dmask-without-weight", dsparse
    yield "dmask-zero", np.zeros_like(W)
    yield "dmask-by-magnitude", dsparse * np.abs(W)
    yield "dmask-by-sign", dsparse * np.sign(W)
    yield "dmask-by-square", dsparse * W * W
    yield "dmask-by-centred-weight", dsparse * (W - W.mean())
    yield "dmask-of-dense-weight", dsparse * evidence.setting.network.parameters[evidence.item]
    yield "dmask-minus", -evidence.value


def _dreconstruction_dthreshold(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    given, names = evidence.given, evidence.layers
    parts = [given[f"dmask/{n}"] * given[f"dmask_dthreshold/{n}"] for n in names]
    kept = [given[f"mask/{n}"] != 0 for n in names]
    pairs = list(zip(parts, kept, strict=True))
    yield "drec-pruned-left-out", np.array([p[k].sum() for p, k in pairs])
    yield "drec-kept-left-out", np.array([p[~k].sum() for p, k in pairs])
    yield "drec-zero", np.zeros(len(parts))
    yield "drec-mean", np.array([p.mean() for p in parts])
    yield "drec-root", np.array([p.sum() / np.sqrt(p.size) for p in parts])
    yield "drec-magnitudes", np.array([np.abs(p).sum() for p in parts])
    yield "drec-sign", -evidence.value
    yield "drec-doubled", 2 * evidence.value
    yield "drec-without-surrogate", np.array([given[f"dmask/{n}"].sum() for n in names])


def _dthreshold(evidence: Evidence) -> Iterator[tuple[str, Found]]:
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
    yield (
        "dthreshold-reconstruction-weight",
        Constant(
            lambda found: ratio(found - control, reconstruction),
            lambda weight: weight * reconstruction + control,
            (0.0, 1.0, -1.0),
        ),
    )
    yield (
        "dthreshold-weight",
        Constant(
            lambda found: ratio(found - reconstruction, control),
            lambda weight: reconstruction + weight * control,
            (0.0, 1.0, -1.0),
        ),
    )
    yield "dthreshold-through-sum", reconstruction * control


def _dweight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    W, M = evidence.weights[evidence.item], evidence.given[f"mask/{evidence.item}"]
    dsparse = evidence.given[f"dsparse_weight/{evidence.item}"]
    through = (
        -0.5 * dsparse * W * (np.abs(np.abs(W) - evidence.given["thresholds"][evidence.layer]) < 1)
    )
    if evidence.conventions.pruned_weight_gradient == "dense":
        yield from _pulled(W, M, dsparse, evidence.conventions.pruned_weight_pull)
    else:
        yield "dweight-unmasked", dsparse
    pruned = (1 - M) * dsparse
    yield (
        "dweight-pruned-share",
        Constant(
            lambda found: ratio(found - M * dsparse, pruned),
            lambda share: M * dsparse + share * pruned,
            (0.0, 1.0),
        ),
    )
    yield "dweight-mask-squared", M * M * dsparse
    yield "dweight-through-mask-sign", M * dsparse + through * np.sign(W)
    yield "dweight-through-mask-unsigned", M * dsparse - through
    if M.any():
        yield "dweight-rescaled", M * dsparse / M.mean()
    yield "dweight-inverted", (1 - M) * dsparse
    before = evidence.earlier.get(f"mask/{evidence.item}")
    if before is not None:
        yield "dweight-stale-mask", before * dsparse


def _pulled(W: Array, M: Array, dsparse: Array, pull: float) -> Iterator[tuple[str, Found]]:
    """Yield mistakes in the gradients that pruned weights have by convention 4."""
    yield "dweight-pulls-kept", dsparse + pull * M * W
    yield "dweight-pulls-all", dsparse + pull * W
    yield "dweight-pushes", dsparse - pull * (1 - M) * W
    yield "dweight-pull-of-sign", dsparse + pull * (1 - M) * np.sign(W)
    yield "dweight-pull-doubled", dsparse + 2 * pull * (1 - M) * W
    yield "dweight-pull-missing", dsparse
    yield "dweight-pull-alone", M * dsparse + pull * (1 - M) * W


def _dparameter(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    right, w = evidence.value, evidence.state.parameters[evidence.item]
    yield "dparameter-frozen", np.zeros_like(right)
    if evidence.name in evidence.earlier:
        yield "dparameter-accumulated", right + evidence.earlier[evidence.name]
    yield "dparameter-sum", right * evidence.batch
    yield "dparameter-mean-twice", right / evidence.batch
    yield "dparameter-with-decay", right + evidence.conventions.weight_decay * w
    yield "dparameter-sign", -right
    norm = np.sqrt((right * right).sum())
    yield "dparameter-normalised", right / norm
    yield (
        "dparameter-clipped",
        Constant(
            lambda found: [float(np.abs(found).max())],
            lambda top: np.clip(right, -top, top),
            (0.0,),
        ),
    )
    yield (
        "dparameter-norm-clipped",  # the small number is that of torch.nn.utils.clip_grad_norm_
        Constant(
            lambda found: [c * (1 + 1e-6 / norm) for c in (np.sqrt((found * found).sum()),)],
            lambda top: right * min(1.0, top / (norm + 1e-6)),
            (0.0,),
        ),
    )
    dsparse = evidence.given.get(f"dsparse_weight/{evidence.item}")
    if dsparse is not None:
        yield "dparameter-unmasked", dsparse


def _dthreshold_parameter(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    t, dt, right = evidence.given["thresholds"], evidence.given["dthreshold"], evidence.value
    s, slope = evidence.state.threshold_parameters, t * (1 - t)
    if evidence.conventions.threshold_parameter == "sigmoid":
        yield "sigmoid-derivative-missing", dt
        yield "sigmoid-derivative-t", dt * t
        yield "sigmoid-derivative-1-t", dt * (1 - t)
        yield "sigmoid-derivative-of-tanh", dt * (1 - t * t)
        yield "sigmoid-derivative-of-s", dt * s * (1 - s)
        yield "sigmoid-derivative-divided", dt / slope
        yield "sigmoid-derivative-twice", dt * slope**2
    else:
        yield "sigmoid-derivative-added", dt * slope
    yield "dthreshold-parameter-sign", -right
    yield "dthreshold-parameter-signs-alone", np.sign(right)
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
