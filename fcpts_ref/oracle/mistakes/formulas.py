"""The formulas that are sums of products, as their terms: the ground for slips."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.terms import Formula, Term, as_terms
from fcpts_ref.oracle.mistakes.update_formulas import (
    dthreshold_parameter,
    new_parameter,
    new_threshold_parameters,
    rate_factor,
    threshold_velocity,
    velocity,
)
from fcpts_ref.pruning.fcpts.step import bandwidth_of


def _mask(e: Evidence) -> Formula:
    return as_terms({"0.5": 0.5, "sgn(|W| - t)": 2 * e.value - 1}, {"0.5": 0.5})


def _dreconstruction_dthreshold(e: Evidence) -> Formula:
    def total(kept: bool) -> Array:
        parts = [e.given[f"dmask/{n}"] * e.given[f"dmask_dthreshold/{n}"] for n in e.layers]
        masks = [(e.given[f"mask/{n}"] != 0) == kept for n in e.layers]
        return np.array([part[mask].sum() for part, mask in zip(parts, masks, strict=True)])

    return as_terms(
        {"sum over kept weights": total(True)}, {"sum over pruned weights": total(False)}
    )


def _dthreshold(e: Evidence) -> Formula:
    parts: list[dict[str, Any]] = []  # of those that the conventions have
    if "dreconstruction_dthreshold" in e.given:
        parts.append({"dL_rec/dt": e.given["dreconstruction_dthreshold"]})
    if "dcontrol_dthreshold" in e.given:
        weight = e.conventions.control_weight
        parts.append({"lambda": weight, "dL_c/dt": e.given["dcontrol_dthreshold"]})
    return as_terms(*parts)


def _dweight(e: Evidence) -> Formula:
    gradient = e.given[f"dsparse_weight/{e.item}"]
    return as_terms({"M": e.given[f"mask/{e.item}"], "dL_rec/dW_sparse": gradient})


def _dmask(e: Evidence) -> Formula:
    return as_terms(
        {"dL_rec/dW_sparse": e.given[f"dsparse_weight/{e.item}"], "W": e.weights[e.item]}
    )


def _dcontrol_dthreshold(e: Evidence) -> Formula:
    return as_terms({"dL_c/dr": e.given["dcontrol_drate"], "dr/dt": e.given["drate_dthreshold"]})


def _dcontrol_drate(e: Evidence) -> Formula:
    sign, total = np.sign(e.value), e.sizes.sum()
    return as_terms({"sign": sign, "N": e.sizes, "(1 / sum(N))": 1 / total})


def _densities(e: Evidence) -> Formula:
    if e.conventions.density != "kernel":
        raise KeyError("the histogram is no product")
    h = np.array([[bandwidth_of(w, e.conventions)] for w in e.weights.values()])
    root = math.sqrt(2 * math.pi)
    kernels = e.value * h * root
    return as_terms(
        {"mean(exp(-z^2 / 2))": kernels, "(1 / h)": 1 / h, "(1 / sqrt(2 pi))": 1 / root}
    )


def _drate_dthreshold(e: Evidence) -> Formula:
    p = e.given["densities"]
    return as_terms({"p(t)": p[:, 0]}, {"p(-t)": p[:, 1]})


def control_loss(e: Evidence, rates: Array | None = None) -> Formula:
    r = e.given["rates"] if rates is None else rates
    reached = {"r": r, "N": e.sizes, "(1 / sum(N))": 1 / e.sizes.sum()}
    return [Term(reached, summed=True), *as_terms({"-": 1, "r_0": e.setting.target})]


def _total_loss(e: Evidence) -> Formula:
    weighted = {"lambda": e.conventions.control_weight, "L_c": e.given["control_loss"]}
    return as_terms({"L_rec": e.given["reconstruction_loss"]}, weighted)


def sparse_weight(e: Evidence, by_weight: float = 0.0, by_mask: float = 0.0) -> Formula:
    W, M = e.weights[e.item], e.given[f"mask/{e.item}"]
    if by_weight or by_mask:
        W, M = W + 1j * by_weight, M + 1j * by_mask
    return as_terms({"M": M, "W": W})


def _new_buffer(e: Evidence) -> Formula:
    name = e.item.rpartition(".")[0]
    node = next(n for n in e.setting.network.graph.nodes if n.name == name)
    m, old = node.attributes["momentum"], e.state.buffers[e.item]
    batch = (e.value - (1 - m) * old) / m
    return as_terms({"(1 - m)": 1 - m, "running": old}, {"m": m, "batch": batch})


FORMULAS: dict[str, Callable[[Evidence], Formula]] = {
    "rate_factor": rate_factor,
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
    "dthreshold_parameter": dthreshold_parameter,
    "velocity": velocity,
    "new_parameter": new_parameter,
    "threshold_velocity": threshold_velocity,
    "new_threshold_parameters": new_threshold_parameters,
}
"""By quantity: its formula."""
