"""The formulas of the update, as their terms."""

from __future__ import annotations

from fcpts_ref.oracle.evidence import Evidence
from fcpts_ref.oracle.mistakes.terms import Formula, as_terms
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH


def velocity(e: Evidence) -> Formula:
    c, name = e.conventions, e.item
    return as_terms(
        {"momentum": c.momentum, "v": e.state.velocities[name]},
        {"gradient": e.given[f"dparameter/{name}"]},
        {"decay": c.weight_decay, "w": e.state.parameters[name]},
    )


def threshold_velocity(e: Evidence) -> Formula:
    momentum = {"momentum": e.conventions.momentum, "v": e.state.threshold_velocities}
    return as_terms(momentum, {"gradient": e.given["dthreshold_parameter"]})


def ahead(e: Evidence) -> Formula:
    """Nesterov's update, of all parameters."""
    c, name = e.conventions, e.item
    g, v = e.given[f"dparameter/{name}"], e.given[f"velocity/{name}"]
    w, rate = (
        e.state.parameters[name],
        {"-": 1, "rate": c.learning_rate, "factor": e.given["rate_factor"]},
    )
    return as_terms(
        {"w": w},
        rate | {"gradient": g},
        rate | {"decay": c.weight_decay, "w": w},
        rate | {"momentum": c.momentum, "v": v},
    )


def new_parameter(e: Evidence) -> Formula:
    rate, factor = e.conventions.learning_rate, e.given["rate_factor"]
    moved = {"rate": rate, "factor": factor, "v": e.given[f"velocity/{e.item}"]}
    return as_terms({"w": e.state.parameters[e.item]}, {"-": 1} | moved)


def new_threshold_parameters(e: Evidence) -> Formula:
    rate, factor = e.conventions.threshold_learning_rate, e.given["rate_factor"]
    moved = {"rate": rate, "factor": factor, "v": e.given["threshold_velocity"]}
    return as_terms({"t": e.state.threshold_parameters}, {"-": 1} | moved)


def dthreshold_parameter(e: Evidence) -> Formula:
    dt, t = e.given["dthreshold"], e.given["thresholds"]
    direct = e.conventions.threshold_parameter == "threshold"
    return as_terms({"dL/dt": dt} | ({} if direct else {"t": t, "(1 - t)": 1 - t}))


def multiplied_out(e: Evidence) -> Formula:
    dt, t = e.given["dthreshold"], e.given["thresholds"]
    return as_terms({"dL/dt": dt, "t": t}, {"-": 1, "dL/dt": dt, "t^2": t * t})


def rate_factor(e: Evidence) -> Formula:
    plain = e.value / e.batch * LEARNING_RATE_BATCH
    return as_terms({"schedule": plain, "B": e.batch, "(1 / 64)": 1 / LEARNING_RATE_BATCH})
