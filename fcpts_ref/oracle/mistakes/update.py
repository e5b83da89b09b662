"""Mistakes in the update of weights and thresholds by SGD."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.mistake import Mistake, Values

V, NEW = ("velocity",), ("new_parameter",)
TV, TNEW = ("threshold_velocity",), ("new_threshold_parameters",)


def _of(of: tuple[str, ...], text: str, formula: str, look: str = "", point: int = 16) -> Mistake:
    return Mistake(text, formula, of, look, point, together=of == (*V, *NEW))


NAMES = {
    "decay-missing": _of(V, "this parameter has no weight decay", "v = m v + g", "parameter groups without decay for batch norm and biases"),
    "decay-decoupled": _of((*V, *NEW), "decoupled weight decay", "v = m v + g;  w - rate v - rate decay w", "AdamW, or SGDW"),
    "decay-unscaled": _of((*V, *NEW), "weight decay is not multiplied by the learning rate", "w (1 - decay) - rate v"),
    "decay-sign": _of(V, "weight decay has the other sign", "v = m v + g - decay w"),
    "decay-of-masked-weight": _of(V, "weight decay of the masked weight", "v = m v + g + decay M w", "the decay is part of the loss of M W"),
    "decay-doubled": _of(V, "weight decay is doubled", "v = m v + g + 2 decay w", "decay / 2 |w|^2 in the loss, and in the optimiser"),
    "decay-halved": _of(V, "weight decay is halved", "v = m v + g + decay w / 2"),
    "decay-of-magnitude": _of(V, "weight decay by the sign of w", "v = m v + g + decay sgn(w)", "an L1 penalty"),
    "decay-in-momentum": _of(V, "weight decay is not part of the velocity of this step", "v = m (v + decay w) + g"),
    "velocity-forgotten": _of(V, "no momentum: the old velocity is missing", "v = g + decay w", "an optimiser that is made in every step"),
    "velocity-with-rate": _of((*V, *NEW), "the velocity holds the learning rate", "v = m v + rate (g + decay w);  w - v", "the convention of TensorFlow and Caffe"),
    "velocity-dampened": _of(V, "dampening: (1 - momentum) times the gradient", "v = m v + (1 - m) (g + decay w)", "a running mean, as in Adam"),
    "velocity-ahead": _of(V, "the velocity is that of the next step", "m v + g, twice", "Nesterov's step is stored"),
    "velocity-masked": _of(V, "the velocity is multiplied by the mask", "v = M (m v + g + decay w)", "the mask is applied to all state", 4),
    "velocity-of-masked": _of(V, "the old velocity is multiplied by the mask", "v = m M v + g + decay w", "", 4),
    "velocity-undamped": _of(V, "momentum 1: gradients add up", "v = v + g + decay w"),
    "velocity-sign": _of(V, "the sign of the velocity", "-(m v + g + decay w)"),
    "velocity-without-gradient": _of(V, "the gradient is missing", "v = m v + decay w"),
    "rate-not-scheduled": _of((*NEW, *TNEW), "the schedule is not applied", "w - rate_0 v", "the scheduler acts on another parameter group"),
    "update-added": _of(NEW, "the velocity is added, not subtracted", "w + rate v"),
    "update-by-threshold-rate": _of(NEW, "the thresholds' learning rate", "w - threshold_rate v"),
    "update-missing": _of(NEW, "the parameter is not updated", "w", "it is not given to the optimiser"),
    "update-then-masked": _of(NEW, "pruned weights are set to 0 after the update", "M (w - rate v)", "the pruned weights can never come back", 4),
    "update-of-kept-alone": _of(NEW, "pruned weights are not updated", "w - rate M v", "", 4),
    "update-of-sparse-weight": _of(NEW, "the masked weight is updated, and stored", "M w - rate v", "weight.data is replaced by the masked weight", 4),
    "update-of-dense-weight": _of(NEW, "the dense network's parameter is updated", "w_dense - rate v"),
    "update-without-momentum": _of(NEW, "the gradient moves the parameter, not the velocity", "w - rate (g + decay w)"),
    "update-by-old-velocity": _of(NEW, "the velocity of the step before", "w - rate v_before"),
    "update-rate-squared": _of(NEW, "the learning rate is applied twice", "w - rate^2 v"),
    "update-doubled": _of(NEW, "the update is made twice", "w - 2 rate v", "step() is called twice"),
    "threshold-decay": _of(TV, "weight decay on the thresholds", "v = m v + g + decay s", "one parameter group for all"),
    "threshold-velocity-with-rate": _of((*TV, *TNEW), "the velocity holds the learning rate", "v = m v + rate g;  t - v"),
    "threshold-velocity-dampened": _of(TV, "dampening: (1 - momentum) times the gradient", "v = m v + (1 - m) g"),
    "threshold-velocity-missing": _of(TV, "no momentum", "v = g"),
    "threshold-velocity-by-sign": _of(TV, "the gradient's sign in place of its value", "v = m v + sgn(g)"),
    "threshold-velocity-sign": _of(TV, "the sign of the velocity", "-(m v + g)"),
    "threshold-velocity-undamped": _of(TV, "momentum 1: gradients add up", "v = v + g"),
    "threshold-velocity-of-t": _of(TV, "the velocity of t, not of s", "v = m v + dL/dt", "", 7),
    "thresholds-negative": _of(TNEW, "thresholds are not kept at 0 or above", "t - rate v", "clamp is missing", 7),
    "thresholds-reflected": _of(TNEW, "thresholds keep their magnitude, not stopped at 0", "|t - rate v|", "abs in place of clamp", 7),
    "thresholds-by-weight-rate": _of(TNEW, "the weights' learning rate", "t - weight_rate v", "one parameter group for all"),
    "thresholds-frozen": _of(TNEW, "the thresholds are not updated", "t", "they are not given to the optimiser, or have no gradient"),
    "thresholds-ascend": _of(TNEW, "the velocity is added: ascent", "t + rate v"),
    "thresholds-by-old-velocity": _of(TNEW, "the velocity of the step before", "t - rate v_before"),
    "thresholds-without-momentum": _of(TNEW, "the gradient moves the thresholds, not the velocity", "t - rate g"),
    "thresholds-clamped-to-1": _of(TNEW, "s is kept in [0, 1], as if it were t", "clip(s - rate v, 0, 1)", "", 7),
}  # fmt: skip


def _velocity(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    name, c = evidence.item, evidence.conventions
    g, w = evidence.given[f"dparameter/{name}"], evidence.state.parameters[name]
    v, rate = evidence.state.velocities[name], c.learning_rate * evidence.given["rate_factor"]
    m, decay = c.momentum, c.weight_decay
    moved, decayed = m * v + g, g + decay * w
    yield "decay-missing", moved
    yield "decay-decoupled", moved
    yield "decay-unscaled", moved
    yield "decay-sign", moved - decay * w
    yield "decay-doubled", moved + 2 * decay * w
    yield "decay-halved", moved + decay * w / 2
    yield "decay-of-magnitude", moved + decay * np.sign(w)
    yield "decay-in-momentum", moved + m * decay * w
    yield "velocity-forgotten", decayed
    yield "velocity-with-rate", m * v + rate * decayed
    yield "velocity-dampened", m * v + (1 - m) * decayed
    yield "velocity-ahead", m * evidence.value + decayed
    yield "velocity-undamped", v + decayed
    yield "velocity-sign", -evidence.value
    yield "velocity-without-gradient", m * v + decay * w
    mask = evidence.given.get(f"mask/{name}")
    if mask is not None:
        yield "decay-of-masked-weight", moved + decay * mask * w
        yield "velocity-masked", mask * evidence.value
        yield "velocity-of-masked", m * mask * v + decayed


def _new_parameter(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    name, c = evidence.item, evidence.conventions
    w, v = evidence.state.parameters[name], evidence.given[f"velocity/{name}"]
    factor = float(evidence.given["rate_factor"])
    rate, old = c.learning_rate * factor, evidence.state.velocities[name]
    g = evidence.given[f"dparameter/{name}"] + c.weight_decay * w
    yield "rate-not-scheduled", w - c.learning_rate * v
    yield "velocity-with-rate", w - v
    yield "decay-decoupled", w - rate * v - rate * c.weight_decay * w
    yield "decay-unscaled", w * (1 - c.weight_decay) - rate * v
    yield "update-added", w + rate * v
    yield "update-by-threshold-rate", w - c.threshold_learning_rate * factor * v
    yield "update-missing", w
    yield "update-without-momentum", w - rate * g
    yield "update-by-old-velocity", w - rate * old
    yield "update-rate-squared", w - rate * rate * v
    yield "update-doubled", w - 2 * rate * v
    yield "update-of-dense-weight", evidence.setting.network.parameters[name] - rate * v
    mask = evidence.given.get(f"mask/{name}")
    if mask is not None:
        yield "update-then-masked", evidence.value * (mask != 0)
        yield "update-of-kept-alone", np.where(mask != 0, evidence.value, w)
        moved = evidence.given[f"dparameter/{name}"] != 0  # how some programs tell pruned weights
        yield "update-then-masked", np.where(moved, evidence.value, 0.0)
        yield "update-of-kept-alone", np.where(moved, evidence.value, w)
        yield "update-of-sparse-weight", mask * w - rate * v


def _threshold_velocity(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    c, g = evidence.conventions, evidence.given["dthreshold_parameter"]
    s, v, m = evidence.state.threshold_parameters, evidence.state.threshold_velocities, c.momentum
    rate = c.threshold_learning_rate * evidence.given["rate_factor"]
    yield "threshold-decay", m * v + g + c.weight_decay * s
    yield "threshold-velocity-with-rate", m * v + rate * g
    yield "threshold-velocity-dampened", m * v + (1 - m) * g
    yield "threshold-velocity-missing", g
    yield "threshold-velocity-by-sign", m * v + np.sign(g)
    yield "threshold-velocity-sign", -evidence.value
    yield "threshold-velocity-undamped", v + g
    if c.threshold_parameter == "sigmoid":
        yield "threshold-velocity-of-t", m * v + evidence.given["dthreshold"]


def _new_threshold_parameters(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    c, v = evidence.conventions, evidence.given["threshold_velocity"]
    s, factor = evidence.state.threshold_parameters, float(evidence.given["rate_factor"])
    old, g = evidence.state.threshold_velocities, evidence.given["dthreshold_parameter"]
    rate = c.threshold_learning_rate * factor
    direct = c.threshold_parameter == "threshold"

    def kept(raw: Array) -> Array:
        return np.maximum(raw, 0) if direct else raw

    if direct:
        yield "thresholds-negative", s - rate * v
        yield "thresholds-reflected", np.abs(s - rate * v)
    else:
        yield "thresholds-clamped-to-1", np.clip(s - rate * v, 0, 1)
    yield "thresholds-by-weight-rate", kept(s - c.learning_rate * factor * v)
    yield "rate-not-scheduled", kept(s - c.threshold_learning_rate * v)
    yield "threshold-velocity-with-rate", kept(s - v)
    yield "thresholds-frozen", s
    yield "thresholds-ascend", kept(s + rate * v)
    yield "thresholds-by-old-velocity", kept(s - rate * old)
    yield "thresholds-without-momentum", kept(s - rate * g)


VALUES: dict[str, Values] = {
    "velocity": _velocity,
    "new_parameter": _new_parameter,
    "threshold_velocity": _threshold_velocity,
    "new_threshold_parameters": _new_threshold_parameters,
}
