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

CURVED = {"mask", "rates", "densities", "dmask_dthreshold", "reconstruction_loss", "dsparse_logits"}
"""Where a factor on an operand is no factor on the value."""

NUMBERS = (0.1, 0.5, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.25, 1.5, 2.0, 10.0)
"""Factors on an operand."""


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
        for text, weights in _other_weights(evidence):
            yield text, _with_weights(evidence, weights)
    elif operand == "samples":
        if evidence.conventions.density == "kernel":
            for text, samples in _other_samples(evidence):
                yield f"samples {text}", _with_inputs(evidence, samples=samples)
    else:
        name = f"{operand}{evidence.item}" if operand.endswith("/") else operand
        for text, value in _other_values(evidence, name):
            given = {**evidence.given, name: value}
            yield f"{operand.removesuffix('/')} {text}", replace(evidence, given=given)


def _other_values(evidence: Evidence, name: str) -> Iterator[tuple[str, Array]]:
    value, L = np.asarray(evidence.given[name]), len(evidence.layers)
    if evidence.quantity in CURVED:
        for number in NUMBERS:
            yield f"times {number:g}", number * value
    if name in evidence.earlier:
        yield "of the step before", evidence.earlier[name]
    if f"new_{name}" in evidence.given:
        yield "after the update", evidence.given[f"new_{name}"]
    if value.ndim and len(value) == L > 1 and evidence.name != name:
        yield "of the layer before", np.roll(value, 1, 0)
        yield "of the next layer", np.roll(value, -1, 0)
        yield "in reverse order", value[::-1]
        yield "averaged over the layers", np.broadcast_to(value.mean(axis=0), value.shape)
        yield "of the first layer", np.broadcast_to(value[:1], value.shape)
        yield "of the last layer", np.broadcast_to(value[-1:], value.shape)
    if name.endswith("_logits"):
        for shift in (1, -1):
            yield f"with images shifted by {shift:+d}", np.roll(value, shift, 0)
        yield "with images reversed", value[::-1]
        yield "less their mean", value - value.mean(axis=1, keepdims=True)
        yield "less their largest", value - value.max(axis=1, keepdims=True)
        yield "over their norm", value / np.sqrt((value * value).sum(axis=1, keepdims=True))
        yield "over their deviation", value / value.std(axis=1, keepdims=True)


def _other_weights(evidence: Evidence) -> Iterator[tuple[str, dict[str, Array]]]:
    given, weights = evidence.given, evidence.weights
    yield "dense weights", {n: evidence.setting.network.parameters[n] for n in weights}
    if evidence.quantity != "mask":  # there it would be the mask found that decides
        yield "sparse weights", {n: given[f"mask/{n}"] * w for n, w in weights.items()}
    yield "magnitudes of the weights", {n: np.abs(w) for n, w in weights.items()}
    yield "centred weights", {n: w - w.mean() for n, w in weights.items()}
    yield "standardised weights", {n: w / w.std() for n, w in weights.items()}
    yield (
        "updated weights",
        {n: given.get(f"new_parameter/{n}", w * np.nan) for n, w in weights.items()},
    )
    ts = zip(weights.items(), given["thresholds"], strict=True)
    shrunk = {n: np.sign(w) * np.maximum(np.abs(w) - t, 0) for (n, w), t in ts}
    yield "soft-thresholded weights", shrunk
    ts = zip(weights.items(), given["thresholds"], strict=True)
    yield "weights less the threshold", {n: w - t * np.sign(w) for (n, w), t in ts}
    earlier = {n: evidence.earlier.get(f"inputs/parameters/{n}") for n in weights}
    if all(w is not None for w in earlier.values()):
        yield "weights of the step before", {n: w for n, w in earlier.items() if w is not None}
    if evidence.quantity == "rates" and all(s.size for s in evidence.samples):
        drawn = zip(weights.items(), evidence.samples, strict=True)
        yield "drawn weights", {n: w.ravel()[s] for (n, w), s in drawn}
    if evidence.quantity == "densities":
        yield "sorted weights", {n: np.sort(w, axis=None) for n, w in weights.items()}
        yield (
            "weights sorted by magnitude",
            {n: w.ravel()[_by_magnitude(w)] for n, w in weights.items()},
        )
        yield "column-major weights", {n: w.ravel(order="F") for n, w in weights.items()}


def _by_magnitude(w: Array) -> Array:
    return np.argsort(np.abs(w), axis=None)


def _other_samples(evidence: Evidence) -> Iterator[tuple[str, tuple[Array, ...]]]:
    samples, N = evidence.samples, [w.size for w in evidence.weights.values()]
    n = evidence.conventions.density_samples
    yield "of the first weights", tuple(np.arange(min(n, size)) for size in N)
    yield "of the last weights", tuple(np.arange(max(size - n, 0), size) for size in N)
    yield "of evenly spaced weights", tuple(np.arange(0, size, max(size // n, 1))[:n] for size in N)
    yield "of spread weights", tuple(np.linspace(0, size - 1, n).astype(int) for size in N)
    for text, shift in (("the layer before", 1), ("the next layer", -1)):
        moved = [samples[(i - shift) % len(samples)] for i in range(len(samples))]
        yield f"of {text}", tuple(s % size for s, size in zip(moved, N, strict=True))
    held = [samples[max(i - 1, 0)] for i in range(len(samples))]
    yield "of the layer before", tuple(s % size for s, size in zip(held, N, strict=True))
    yield "of the first layer", tuple(samples[0] % size for size in N)
    yield "without repetition", tuple(np.unique(s) for s in samples)
    earlier = [evidence.earlier.get(f"inputs/samples/{n}") for n in evidence.layers]
    if all(s is not None for s in earlier):
        yield "of the step before", tuple(np.asarray(s) for s in earlier)


def _with_inputs(evidence: Evidence, **changed: Any) -> Evidence:
    assert evidence.inputs is not None
    return replace(evidence, inputs=replace(evidence.inputs, **changed))


def _with_weights(evidence: Evidence, weights: dict[str, Array]) -> Evidence:
    parameters = {**evidence.state.parameters, **weights}
    return _with_inputs(evidence, state=replace(evidence.state, parameters=parameters))


VALUES: dict[str, Values] = dict.fromkeys(FORMULAS, _operands)
