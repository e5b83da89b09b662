"""The right formula with one operand from elsewhere: the step before, another layer, other weights.

Every formula is written once, as a function of the evidence; its operands are then replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Values
from fcpts_ref.oracle.mistakes.other_operands import other_samples, other_values, other_weights
from fcpts_ref.oracle.mistakes.slips import right_formula
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec import equations

OPERAND = "operand"
PRUNED = "pruned-in-place"
W = "W"  # the layers' weights, among the operands

Formula = Callable[[Evidence], Any]


def _mask(e: Evidence) -> Any:
    return equations.mask(e.weights[e.item], e.given["thresholds"][e.layer], tie=e.conventions.tie)


def _rates(e: Evidence) -> Any:
    pairs = zip(e.weights.values(), e.given["thresholds"], strict=True)
    strict = e.conventions.strict_rate
    return np.array([equations.sparsity_rate(w, t, strict=strict) for w, t in pairs])


def _reconstruction_loss(e: Evidence) -> Any:
    logits = e.given["dense_logits"], e.given["sparse_logits"]
    return equations.reconstruction_loss(*logits, temperature=e.conventions.temperature)


def _dsparse_logits(e: Evidence) -> Any:
    logits = e.given["dense_logits"], e.given["sparse_logits"]
    return equations.reconstruction_loss_gradient(*logits, temperature=e.conventions.temperature)


def _dcontrol_drate(e: Evidence) -> Any:
    at_target = e.conventions.at_target
    rates, target = e.given["rates"], e.setting.target
    return equations.control_loss_gradient(rates, e.sizes, target, at_target=at_target)


def _densities(e: Evidence) -> Any:
    c, rows = e.conventions, []
    layers = zip(e.weights.values(), e.given["thresholds"], e.samples, strict=True)
    for w, t, sample in layers:
        points = np.array([t, -t])
        if c.density == "histogram":
            rows.append(equations.histogram_density(points, w, c.histogram_bins))
        else:
            rows.append(equations.density(points, w.ravel()[sample], bandwidth_of(w, c)))
    return np.array(rows)


def _dmask_dthreshold(e: Evidence) -> Any:
    return equations.mask_threshold_gradient(e.weights[e.item], e.given["thresholds"][e.layer])


FORMULAS: dict[str, tuple[Formula, tuple[str, ...]]] = {
    "mask": (_mask, ("thresholds", W)),
    "sparse_weight": (right_formula, ("mask/", W)),
    "rates": (_rates, ("thresholds", W)),
    "reconstruction_loss": (_reconstruction_loss, ("dense_logits", "sparse_logits")),
    "dsparse_logits": (_dsparse_logits, ("dense_logits", "sparse_logits")),
    "control_loss": (right_formula, ("rates",)),
    "total_loss": (right_formula, ("reconstruction_loss", "control_loss")),
    "dcontrol_drate": (_dcontrol_drate, ("rates",)),
    "densities": (_densities, ("thresholds", W, "samples")),
    "drate_dthreshold": (right_formula, ("densities",)),
    "dcontrol_dthreshold": (right_formula, ("dcontrol_drate", "drate_dthreshold")),
    "dmask_dthreshold": (_dmask_dthreshold, ("thresholds", W)),
    "dmask": (right_formula, ("dsparse_weight/", W)),
    "dthreshold": (right_formula, ("dreconstruction_dthreshold", "dcontrol_dthreshold")),
    "dweight": (right_formula, ("mask/", "dsparse_weight/")),
    "dthreshold_parameter": (right_formula, ("dthreshold", "thresholds")),
    "velocity": (right_formula, ("dparameter/", W)),
    "new_parameter": (right_formula, ("velocity/", W)),
    "threshold_velocity": (right_formula, ("dthreshold_parameter",)),
    "new_threshold_parameters": (right_formula, ("threshold_velocity", "rate_factor")),
}
"""By quantity: its formula and the operands in it, with a slash those of its own item."""


def _operands(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    formula, operands = FORMULAS[evidence.quantity]
    if evidence.quantity in CATALOGUE[PRUNED].of:
        weights = {n: evidence.given[f"sparse_weight/{n}"] for n in evidence.layers}
        yield PRUNED, partial(_value, formula, _with_weights(evidence, weights))
    for operand in operands:
        for text, changed in _with_other(evidence, operand):
            yield f"{OPERAND}{MARK}{text}", partial(_value, formula, changed)


def _value(formula: Formula, evidence: Evidence) -> Array:
    """Return the formula's value; NaN if the operand makes no sense in it."""
    try:
        return np.asarray(formula(evidence), dtype=np.float64)
    except (InputError, KeyError, IndexError, ValueError):
        return np.full_like(evidence.value, np.nan)


def _with_other(evidence: Evidence, operand: str) -> Iterator[tuple[str, Evidence]]:
    if operand == W:
        for text, weights in other_weights(evidence):
            yield text, _with_weights(evidence, weights)
    elif operand == "samples":
        if evidence.conventions.density == "kernel":
            for text, samples in other_samples(evidence):
                yield f"samples {text}", _with_inputs(evidence, samples=samples)
    else:
        name = f"{operand}{evidence.item}" if operand.endswith("/") else operand
        for text, value in other_values(evidence, name):
            given = {**evidence.given, name: value}
            yield f"{operand.removesuffix('/')} {text}", replace(evidence, given=given)


def _with_inputs(evidence: Evidence, **changed: Any) -> Evidence:
    assert evidence.inputs is not None
    return replace(evidence, inputs=replace(evidence.inputs, **changed))


def _with_weights(evidence: Evidence, weights: dict[str, Array]) -> Evidence:
    parameters = {**evidence.state.parameters, **weights}
    return _with_inputs(evidence, state=replace(evidence.state, parameters=parameters))


VALUES: dict[str, Values] = dict.fromkeys(FORMULAS, _operands)
