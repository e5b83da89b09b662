"""Mistakes in the update of weights and other parameters by SGD."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import Constant, ratio
from fcpts_ref.oracle.mistakes.mistake import Found, Values


def _velocity(evidence: Evidence) -> Iterator[tuple[str, Found]]:
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
    dense = evidence.setting.network.parameters[name]
    yield "decay-towards-dense", moved + decay * (w - dense)
    yield "decay-of-magnitude", moved + decay * np.sign(w)
    yield "decay-in-momentum", moved + m * decay * w
    yield "parameter-not-learned", v
    yield "velocity-forgotten", decayed
    if (begins := epoch_begins(evidence)) is not None:
        yield "velocity-forgotten-each-epoch", decayed if begins else evidence.value
    yield "velocity-with-rate", m * v + rate * decayed
    yield "velocity-with-rate-twice", m * v + rate * decayed
    yield "velocity-dampened", m * v + (1 - m) * decayed
    yield "velocity-ahead", m * evidence.value + decayed
    yield "velocity-undamped", v + decayed
    yield "velocity-momentum-on-all", m * (v + decayed)
    yield "velocity-sign", -evidence.value
    yield "velocity-without-gradient", m * v + decay * w
    yield (
        "velocity-momentum",
        Constant(
            lambda found: ratio(found - decayed, v),
            lambda other: other * v + decayed,
            (m, 0.0, 1.0),
        ),
    )
    yield (
        "decay",
        Constant(
            lambda found: ratio(found - moved, w),
            lambda other: moved + other * w,
            (decay, 0.0, -decay, 2 * decay, decay / 2),
        ),
    )
    mask = evidence.given.get(f"mask/{name}")
    if mask is not None:
        yield "decay-of-masked-weight", moved + decay * mask * w
        yield "velocity-masked", mask * evidence.value
        yield "velocity-of-masked", m * mask * v + decayed


def epoch_begins(evidence: Evidence) -> bool | None:
    """Whether the step is the first of an epoch; None without a schedule."""
    schedule = evidence.setting.schedule
    if schedule is None:
        return None
    return bool(evidence.state.step % (schedule.calibration_images // schedule.batch_size) == 0)


def in_part(evidence: Evidence, before: Array) -> Array:
    """Return the right value where the one found has moved, and the one before elsewhere."""
    if evidence.found.shape != before.shape:
        return before
    return np.where(evidence.found == before, before, evidence.value)


def per_factor(rates: list[float], factor: float) -> list[float]:
    """Return learning rates without the schedule's factor, which may be 0 in the first step."""
    return [rate / factor for rate in rates] if factor else []


def _new_parameter(evidence: Evidence) -> Iterator[tuple[str, Found]]:
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
    yield "parameter-not-learned", w
    yield "update-missing", w
    yield "update-without-rate", w - v
    yield "update-without-momentum", w - rate * g
    yield "update-by-old-velocity", w - rate * old
    yield "update-in-part", in_part(evidence, w)
    yield "update-rate-squared", w - rate * rate * v
    yield "update-doubled", w - 2 * rate * v
    lengths = [float(np.sqrt((x * x).sum())) for x in (w, v)]
    yield "update-layerwise", w - rate * v * (lengths[0] / lengths[1] if lengths[1] else 0.0)
    yield (
        "update-rate",
        Constant(
            lambda found: per_factor(ratio(w - found, v), factor),
            lambda other: w - other * factor * v,
            (
                0.0,
                c.learning_rate,
                c.threshold_learning_rate,
                2 * c.learning_rate,
                -c.learning_rate,
            ),
        ),
    )
    yield (
        "update-averaged",
        Constant(
            lambda found: ratio(found - w, evidence.value - w),
            lambda share: share * evidence.value + (1 - share) * w,
            (0.0, 1.0, 2.0, -1.0),
        ),
    )
    yield "update-of-dense-weight", evidence.setting.network.parameters[name] - rate * v
    mask = evidence.given.get(f"mask/{name}")
    if mask is not None:
        yield "update-then-masked", evidence.value * (mask != 0)
        yield "update-of-kept-alone", np.where(mask != 0, evidence.value, w)
        moved = evidence.given[f"dparameter/{name}"] != 0  # how some programs tell pruned weights
        yield "update-then-masked", np.where(moved, evidence.value, 0.0)
        yield "update-of-kept-alone", np.where(moved, evidence.value, w)
        yield "update-of-sparse-weight", mask * w - rate * v


VALUES: dict[str, Values] = {
    "velocity": _velocity,
    "new_parameter": _new_parameter,
}
