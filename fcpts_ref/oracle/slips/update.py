"""Slips in the update and in the last projection."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.clue import Array, Clue
from fcpts_ref.spec.budget import exact_masks

Suspect = tuple[int | None, str, Array]


def _dweight(clue: Clue) -> Iterator[Suspect]:
    dsparse = clue.expected[f"dsparse_weight/{clue.item}"]
    yield 4, "dL/dW is not masked: straight through to pruned weights", dsparse


def _velocity(clue: Clue) -> Iterator[Suspect]:
    name, c = clue.item, clue.conventions
    g, w = clue.expected[f"dparameter/{name}"], clue.state.parameters[name]
    v, rate = clue.state.velocities[name], c.learning_rate * clue.expected["rate_factor"]
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
    yield 16, "the velocity is that of the next step", c.momentum * clue.value + decayed


def _new_parameter(clue: Clue) -> Iterator[Suspect]:
    name, c = clue.item, clue.conventions
    w, v = clue.state.parameters[name], clue.expected[f"velocity/{name}"]
    factor = float(clue.expected["rate_factor"])
    yield 16, "the schedule is not applied", w - c.learning_rate * v
    yield 16, "the velocity is added, not subtracted", w + c.learning_rate * factor * v
    yield 16, "the thresholds' learning rate", w - c.threshold_learning_rate * factor * v
    yield 16, "the parameter is not updated", w
    mask = clue.expected.get(f"mask/{name}")
    if mask is not None:
        yield 4, "pruned weights are set to 0 after the update", clue.value * (mask != 0)
        yield 4, "pruned weights are not updated", np.where(mask != 0, clue.value, w)


def _dthreshold_parameter(clue: Clue) -> Iterator[Suspect]:
    t, dt = clue.expected["thresholds"], clue.expected["dthreshold"]
    yield 7, "the derivative t (1 - t) of the sigmoid is missing", dt
    yield 7, "multiplied by t (1 - t) though t itself is learned", dt * t * (1 - t)


def _threshold_velocity(clue: Clue) -> Iterator[Suspect]:
    c, g = clue.conventions, clue.expected["dthreshold_parameter"]
    s, v = clue.state.threshold_parameters, clue.state.threshold_velocities
    rate = c.threshold_learning_rate * clue.expected["rate_factor"]
    yield 16, "weight decay on the thresholds", c.momentum * v + g + c.weight_decay * s
    yield 16, "the velocity holds the learning rate", c.momentum * v + rate * g
    yield 16, "dampening: (1 - momentum) times the gradient", c.momentum * v + (1 - c.momentum) * g
    yield 16, "no momentum", g


def _new_threshold_parameters(clue: Clue) -> Iterator[Suspect]:
    c, v = clue.conventions, clue.expected["threshold_velocity"]
    s, factor = clue.state.threshold_parameters, float(clue.expected["rate_factor"])
    raw = s - c.threshold_learning_rate * factor * v
    yield 7, "thresholds are not kept at 0 or above", raw
    yield 7, "thresholds keep their magnitude, not stopped at 0", np.abs(raw)
    yield 16, "the weights' learning rate", np.maximum(s - c.learning_rate * factor * v, 0)
    yield 16, "the schedule is not applied", s - c.threshold_learning_rate * v
    yield 16, "the thresholds are not updated", s


def _final_mask(clue: Clue) -> Iterator[Suspect]:
    weights = {
        name: clue.expected[f"new_parameter/{name}"] for name in clue.setting.network.graph.prunable
    }
    t = clue.expected["new_thresholds"]
    own = np.abs(weights[clue.item]) > t[clue.layer]
    yield 18, "no last projection: |w| > t", own * 1.0
    ones = dict.fromkeys(weights, 1.0)
    count = sum(int((m == 0).sum()) for n, m in clue.expected.items() if n.startswith("final_mask"))
    globally = exact_masks(weights, ones, count)
    yield 18, "projected by |w| over all layers, not by |w| / t", globally[clue.item] * 1.0


def _final_rate(clue: Clue) -> Iterator[Suspect]:
    yield 18, "the target: the rate after the last projection", np.array(clue.setting.target)


SLIPS = {
    "dweight": _dweight,
    "velocity": _velocity,
    "new_parameter": _new_parameter,
    "dthreshold_parameter": _dthreshold_parameter,
    "threshold_velocity": _threshold_velocity,
    "new_threshold_parameters": _new_threshold_parameters,
    "final_mask": _final_mask,
    "final_rate": _final_rate,
}
"""By quantity."""
