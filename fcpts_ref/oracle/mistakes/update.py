"""Mistakes in the update and in the final projection."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Candidate, Evidence
from fcpts_ref.spec.budget import exact_masks


def _dweight(evidence: Evidence) -> Iterator[Candidate]:
    dsparse = evidence.expected[f"dsparse_weight/{evidence.item}"]
    yield 4, "dL/dW is not masked: straight through to pruned weights", dsparse


def _velocity(evidence: Evidence) -> Iterator[Candidate]:
    name, c = evidence.item, evidence.conventions
    g, w = evidence.expected[f"dparameter/{name}"], evidence.state.parameters[name]
    v, rate = evidence.state.velocities[name], c.learning_rate * evidence.expected["rate_factor"]
    decayed = g + c.weight_decay * w
    yield 16, "this parameter has no weight decay", c.momentum * v + g
    yield 16, "the velocity holds the learning rate", c.momentum * v + rate * decayed
    yield (
        16,
        "dampening: (1 - momentum) times the gradient",
        c.momentum * v + (1 - c.momentum) * decayed,
    )
    yield 16, "no momentum", decayed
    yield 16, "weight decay has the other sign", c.momentum * v + g - c.weight_decay * w
    yield 16, "the velocity is that of the next step", c.momentum * evidence.value + decayed


def _new_parameter(evidence: Evidence) -> Iterator[Candidate]:
    name, c = evidence.item, evidence.conventions
    w, v = evidence.state.parameters[name], evidence.expected[f"velocity/{name}"]
    factor = float(evidence.expected["rate_factor"])
    yield 16, "the schedule is not applied", w - c.learning_rate * v
    yield 16, "the velocity is added, not subtracted", w + c.learning_rate * factor * v
    yield 16, "the thresholds' learning rate", w - c.threshold_learning_rate * factor * v
    yield 16, "the parameter is not updated", w
    mask = evidence.expected.get(f"mask/{name}")
    if mask is not None:
        yield 4, "pruned weights are set to 0 after the update", evidence.value * (mask != 0)
        yield 4, "pruned weights are not updated", np.where(mask != 0, evidence.value, w)


def _dthreshold_parameter(evidence: Evidence) -> Iterator[Candidate]:
    t, dt = evidence.expected["thresholds"], evidence.expected["dthreshold"]
    yield 7, "the derivative t (1 - t) of the sigmoid is missing", dt
    yield 7, "multiplied by t (1 - t) though t itself is learned", dt * t * (1 - t)


def _threshold_velocity(evidence: Evidence) -> Iterator[Candidate]:
    c, g = evidence.conventions, evidence.expected["dthreshold_parameter"]
    s, v = evidence.state.threshold_parameters, evidence.state.threshold_velocities
    rate = c.threshold_learning_rate * evidence.expected["rate_factor"]
    yield 16, "weight decay on the thresholds", c.momentum * v + g + c.weight_decay * s
    yield 16, "the velocity holds the learning rate", c.momentum * v + rate * g
    yield 16, "dampening: (1 - momentum) times the gradient", c.momentum * v + (1 - c.momentum) * g
    yield 16, "no momentum", g


def _new_threshold_parameters(evidence: Evidence) -> Iterator[Candidate]:
    c, v = evidence.conventions, evidence.expected["threshold_velocity"]
    s, factor = evidence.state.threshold_parameters, float(evidence.expected["rate_factor"])
    raw = s - c.threshold_learning_rate * factor * v
    yield 7, "thresholds are not kept at 0 or above", raw
    yield 7, "thresholds keep their magnitude, not stopped at 0", np.abs(raw)
    yield 16, "the weights' learning rate", np.maximum(s - c.learning_rate * factor * v, 0)
    yield 16, "the schedule is not applied", s - c.threshold_learning_rate * v
    yield 16, "the thresholds are not updated", s


def _final_mask(evidence: Evidence) -> Iterator[Candidate]:
    weights = {
        name: evidence.expected[f"new_parameter/{name}"]
        for name in evidence.setting.network.graph.prunable
    }
    t = evidence.expected["new_thresholds"]
    own = np.abs(weights[evidence.item]) > t[evidence.layer]
    yield 18, "no last projection: |w| > t", own * 1.0
    ones = dict.fromkeys(weights, 1.0)
    count = sum(
        int((m == 0).sum()) for n, m in evidence.expected.items() if n.startswith("final_mask")
    )
    globally = exact_masks(weights, ones, count)
    yield 18, "projected by |w| over all layers, not by |w| / t", globally[evidence.item] * 1.0


def _final_rate(evidence: Evidence) -> Iterator[Candidate]:
    yield 18, "the target: the rate after the last projection", np.array(evidence.setting.target)


MISTAKES = {
    "dweight": _dweight,
    "velocity": _velocity,
    "new_parameter": _new_parameter,
    "dthreshold_parameter": _dthreshold_parameter,
    "threshold_velocity": _threshold_velocity,
    "new_threshold_parameters": _new_threshold_parameters,
    "final_mask": _final_mask,
    "final_rate": _final_rate,
}
"""Functions of the evidence, by quantity."""
