"""Mistakes in the update of the thresholds by SGD."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, limits, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.update import epoch_begins, in_part, per_factor


def _threshold_velocity(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    c, g = evidence.conventions, evidence.given["dthreshold_parameter"]
    s, v, m = evidence.state.threshold_parameters, evidence.state.threshold_velocities, c.momentum
    rate = c.threshold_learning_rate * evidence.given["rate_factor"]
    yield "threshold-decay", m * v + g + c.weight_decay * s
    yield "threshold-velocity-with-rate", m * v + rate * g
    yield "threshold-velocity-dampened", m * v + (1 - m) * g
    yield "threshold-velocity-missing", g
    if (begins := epoch_begins(evidence)) is not None:
        yield "velocity-forgotten-each-epoch", g if begins else evidence.value
    yield "threshold-velocity-ahead", m * (m * v + g) + g
    yield "threshold-velocity-by-sign", m * v + np.sign(g)
    yield "threshold-velocity-sign", -evidence.value
    yield "threshold-velocity-undamped", v + g
    yield (
        "threshold-momentum",
        Constant(lambda found: ratio(found - g, v), lambda other: other * v + g, (m, 0.0, 1.0)),
    )
    if c.threshold_parameter == "sigmoid":
        yield "threshold-velocity-of-t", m * v + evidence.given["dthreshold"]


def _new_threshold_parameters(evidence: Evidence) -> Iterator[tuple[str, Found]]:
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
        yield (
            "thresholds-floor",
            Constant(
                lambda found: limits(found, lambda x: float(x.min())),
                lambda floor: np.maximum(s - rate * v, floor),
                (0.0,),
            ),
        )
    else:
        yield "thresholds-clamped-to-1", np.clip(s - rate * v, 0, 1)
    yield "thresholds-by-weight-rate", kept(s - c.learning_rate * factor * v)
    yield "rate-not-scheduled", kept(s - c.threshold_learning_rate * v)
    yield "threshold-velocity-with-rate", kept(s - v)
    yield (
        "thresholds-rate",
        Constant(
            lambda found: per_factor(ratio(s - found, v), factor),
            lambda other: kept(s - other * factor * v),
            (c.threshold_learning_rate, c.learning_rate, 0.0, -c.threshold_learning_rate),
        ),
    )
    yield (
        "thresholds-ceiling",
        Constant(
            lambda found: limits(found, lambda x: float(x.max())),
            lambda top: np.minimum(kept(s - rate * v), top),
        ),
    )
    yield "thresholds-by-sign", kept(s - rate * np.sign(v))
    yield "thresholds-by-sign", kept(s - rate * v / (np.abs(v) + 1e-8))
    yield "thresholds-frozen", s
    yield "update-in-part", in_part(evidence, s)
    yield "thresholds-multiplied", s * np.exp(-rate * v)
    yield "thresholds-multiplied", s * (1 - rate * v)
    yield "thresholds-ascend", kept(s + rate * v)
    yield "thresholds-by-old-velocity", kept(s - rate * old)
    yield "thresholds-without-momentum", kept(s - rate * g)


VALUES: dict[str, Values] = {
    "threshold_velocity": _threshold_velocity,
    "new_threshold_parameters": _new_threshold_parameters,
}
