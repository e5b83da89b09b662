"""The formulas that are sums of products, as their terms: the ground for slips."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH


@dataclass(frozen=True, eq=False)
class Term:
    """A product; the values of its factors by how they are written.  summed: over all elements."""

    factors: dict[str, Any]
    sign: int = 1
    summed: bool = False

    @property
    def text(self) -> str:
        """The product as it is written."""
        product = " ".join(" ".join(self.factors).split()) or "1"
        return f"sum({product})" if self.summed else product

    @property
    def value(self) -> Array:
        """The product."""
        product = np.asarray(float(self.sign))
        for factor in self.factors.values():
            product = product * factor
        return np.asarray(product.sum()) if self.summed else product

    @property
    def size(self) -> int:
        """The number of elements of the largest factor."""
        return max(np.size(factor) for factor in self.factors.values())


Formula = Sequence[Term]


def _terms(*products: dict[str, Any]) -> list[Term]:
    """Terms of these factors, without a lambda of 1; one with the factor "-" is subtracted."""
    return [
        Term(
            {n: f for n, f in factors.items() if n != "-" and not (n == "lambda" and f == 1)},
            -1 if "-" in factors else 1,
        )
        for factors in products
    ]


def _mask(e: Evidence) -> Formula:
    return _terms({"0.5": 0.5, "sgn(|W| - t)": 2 * e.value - 1}, {"0.5": 0.5})


def _velocity(e: Evidence) -> Formula:
    c, name = e.conventions, e.item
    return _terms(
        {"momentum": c.momentum, "v": e.state.velocities[name]},
        {"gradient": e.given[f"dparameter/{name}"]},
        {"decay": c.weight_decay, "w": e.state.parameters[name]},
    )


def _threshold_velocity(e: Evidence) -> Formula:
    momentum = {"momentum": e.conventions.momentum, "v": e.state.threshold_velocities}
    return _terms(momentum, {"gradient": e.given["dthreshold_parameter"]})


def ahead(e: Evidence) -> Formula:
    """Nesterov's update, of all parameters."""
    c, name = e.conventions, e.item
    g, v = e.given[f"dparameter/{name}"], e.given[f"velocity/{name}"]
    w, rate = (
        e.state.parameters[name],
        {"-": 1, "rate": c.learning_rate, "factor": e.given["rate_factor"]},
    )
    return _terms(
        {"w": w},
        rate | {"gradient": g},
        rate | {"decay": c.weight_decay, "w": w},
        rate | {"momentum": c.momentum, "v": v},
    )


def _new_parameter(e: Evidence) -> Formula:
    rate, factor = e.conventions.learning_rate, e.given["rate_factor"]
    moved = {"rate": rate, "factor": factor, "v": e.given[f"velocity/{e.item}"]}
    return _terms({"w": e.state.parameters[e.item]}, {"-": 1} | moved)


def _new_threshold_parameters(e: Evidence) -> Formula:
    rate, factor = e.conventions.threshold_learning_rate, e.given["rate_factor"]
    moved = {"rate": rate, "factor": factor, "v": e.given["threshold_velocity"]}
    return _terms({"t": e.state.threshold_parameters}, {"-": 1} | moved)


def _dthreshold_parameter(e: Evidence) -> Formula:
    dt, t = e.given["dthreshold"], e.given["thresholds"]
    direct = e.conventions.threshold_parameter == "threshold"
    return _terms({"dL/dt": dt} | ({} if direct else {"t": t, "(1 - t)": 1 - t}))


def multiplied_out(e: Evidence) -> Formula:
    dt, t = e.given["dthreshold"], e.given["thresholds"]
    return _terms({"dL/dt": dt, "t": t}, {"-": 1, "dL/dt": dt, "t^2": t * t})


def _dreconstruction_dthreshold(e: Evidence) -> Formula:
    def total(kept: bool) -> Array:
        parts = [e.given[f"dmask/{n}"] * e.given[f"dmask_dthreshold/{n}"] for n in e.layers]
        masks = [(e.given[f"mask/{n}"] != 0) == kept for n in e.layers]
        return np.array([part[mask].sum() for part, mask in zip(parts, masks, strict=True)])

    return _terms({"sum over kept weights": total(True)}, {"sum over pruned weights": total(False)})


def _dthreshold(e: Evidence) -> Formula:
    parts: list[dict[str, Any]] = []  # of those that the conventions have
    if "dreconstruction_dthreshold" in e.given:
        parts.append({"dL_rec/dt": e.given["dreconstruction_dthreshold"]})
    if "dcontrol_dthreshold" in e.given:
        weight = e.conventions.control_weight
        parts.append({"lambda": weight, "dL_c/dt": e.given["dcontrol_dthreshold"]})
    return _terms(*parts)


def _dweight(e: Evidence) -> Formula:
    gradient = e.given[f"dsparse_weight/{e.item}"]
    return _terms({"M": e.given[f"mask/{e.item}"], "dL_rec/dW_sparse": gradient})


def _dmask(e: Evidence) -> Formula:
    return _terms({"dL_rec/dW_sparse": e.given[f"dsparse_weight/{e.item}"], "W": e.weights[e.item]})


def _dcontrol_dthreshold(e: Evidence) -> Formula:
    return _terms({"dL_c/dr": e.given["dcontrol_drate"], "dr/dt": e.given["drate_dthreshold"]})


def _dcontrol_drate(e: Evidence) -> Formula:
    sign, total = np.sign(e.value), e.sizes.sum()
    return _terms({"sign": sign, "N": e.sizes, "(1 / sum(N))": 1 / total})


def _densities(e: Evidence) -> Formula:
    if e.conventions.density != "kernel":
        raise KeyError("the histogram is no product")
    h = np.array([[bandwidth_of(w, e.conventions)] for w in e.weights.values()])
    root = math.sqrt(2 * math.pi)
    kernels = e.value * h * root
    return _terms({"mean(exp(-z^2 / 2))": kernels, "(1 / h)": 1 / h, "(1 / sqrt(2 pi))": 1 / root})


def _drate_dthreshold(e: Evidence) -> Formula:
    p = e.given["densities"]
    return _terms({"p(t)": p[:, 0]}, {"p(-t)": p[:, 1]})


def control_loss(e: Evidence, rates: Array | None = None) -> Formula:
    r = e.given["rates"] if rates is None else rates
    reached = {"r": r, "N": e.sizes, "(1 / sum(N))": 1 / e.sizes.sum()}
    return [Term(reached, summed=True), *_terms({"-": 1, "r_0": e.setting.target})]


def _total_loss(e: Evidence) -> Formula:
    weighted = {"lambda": e.conventions.control_weight, "L_c": e.given["control_loss"]}
    return _terms({"L_rec": e.given["reconstruction_loss"]}, weighted)


def sparse_weight(e: Evidence, by_weight: float = 0.0, by_mask: float = 0.0) -> Formula:
    W, M = e.weights[e.item], e.given[f"mask/{e.item}"]
    if by_weight or by_mask:
        W, M = W + 1j * by_weight, M + 1j * by_mask
    return _terms({"M": M, "W": W})


def _rate_factor(e: Evidence) -> Formula:
    plain = e.value / e.batch * LEARNING_RATE_BATCH
    return _terms({"schedule": plain, "B": e.batch, "(1 / 64)": 1 / LEARNING_RATE_BATCH})


def _new_buffer(e: Evidence) -> Formula:
    name = e.item.rpartition(".")[0]
    node = next(n for n in e.setting.network.graph.nodes if n.name == name)
    m, old = node.attributes["momentum"], e.state.buffers[e.item]
    batch = (e.value - (1 - m) * old) / m
    return _terms({"(1 - m)": 1 - m, "running": old}, {"m": m, "batch": batch})


FORMULAS: dict[str, Callable[[Evidence], Formula]] = {
    "rate_factor": _rate_factor,
    "mask": _mask,
    "sparse_weight": sparse_weight,
    "new_buffer": _new_buffer,
    "control_loss": control_loss,
    "total_loss": _total_loss,
    "densities": _densities,
    "drate_dthreshold": _drate_dthreshold,
    "dcontrol_drate": _dcontrol_drate,
    "dcontrol_dthreshold": _dcontrol_dthreshold,
    "dmask": _dmask,
    "dreconstruction_dthreshold": _dreconstruction_dthreshold,
    "dthreshold": _dthreshold,
    "dweight": _dweight,
    "dthreshold_parameter": _dthreshold_parameter,
    "velocity": _velocity,
    "new_parameter": _new_parameter,
    "threshold_velocity": _threshold_velocity,
    "new_threshold_parameters": _new_threshold_parameters,
}
"""By quantity: its formula."""
