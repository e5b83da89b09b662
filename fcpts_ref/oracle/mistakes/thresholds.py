"""Mistakes in Equations 9 and 14, and in joining the gradients of the thresholds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.gradients import clipped_together
from fcpts_ref.oracle.mistakes.mistake import Found, Values


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
    yield from clipped_together(evidence)
    yield "dthreshold-parameter-sign", -right
    yield "dthreshold-parameter-signs-alone", np.sign(right)
    if evidence.name in evidence.earlier:
        yield "dthreshold-parameter-accumulated", right + evidence.earlier[evidence.name]


VALUES: dict[str, Values] = {
    "dmask": _dmask,
    "dreconstruction_dthreshold": _dreconstruction_dthreshold,
    "dthreshold": _dthreshold,
    "dthreshold_parameter": _dthreshold_parameter,
}
