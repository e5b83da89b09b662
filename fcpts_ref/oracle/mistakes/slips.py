"""Slips in a formula: a sign, a term or a factor that is missing, twice, or on the wrong side.

Every formula that is a sum of products is written once, as its terms; all slips follow from it.  A
slip is named only where no mistake of the catalogue gives the values found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.pruning.fcpts.step import bandwidth_of
from fcpts_ref.spec.conventions import LEARNING_RATE_BATCH

SLIP = "slip"
STEP = 1e-30  # of a complex step


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

    def slips(self) -> Iterator[Term]:
        """Yield the term with every slip in one of its factors, or with the other sign."""
        yield replace(self, sign=-self.sign)
        if self.summed:  # a mean in place of a sum, or the other way round
            for name in ("L", "(1 / L)"):
                L = float(self.size) if name == "L" else 1 / self.size
                yield replace(self, factors=self.factors | {name: L})
        for name, factor in self.factors.items():
            rest = {n: f for n, f in self.factors.items() if n != name}
            divided = name[4:-1] if name.startswith("(1 /") else f"(1 / {name})"
            yield replace(self, factors=rest)
            yield replace(self, factors=rest | {divided: 1 / np.asarray(factor)})
            for other, value in self.factors.items():  # twice, or in the place of another
                kept = self.factors if other == name else rest
                yield replace(self, factors=kept | {f" {other}": value})


Formula = Sequence[Term]


def _all_slips(formula: Formula) -> Iterator[list[Term]]:
    for i, term in enumerate(formula):
        before, after = list(formula[:i]), list(formula[i + 1 :])
        for other in term.slips():
            yield [*before, other, *after]
        yield [*before, term, term, *after]
        yield from ([*before, other, *after] for other in (*before, *after))
        if len(formula) > 1:
            yield [*before, *after]
        if len(formula) > 2:
            yield [term]


def _written(formula: Formula) -> str:
    signs = ["-" if term.sign < 0 else "+" for term in formula]
    pairs = zip(signs, formula, strict=True)
    return " ".join(f"{sign} {term.text}" for sign, term in pairs).removeprefix("+ ")


def _terms(*products: dict[str, Any]) -> list[Term]:
    """Terms of these factors, without a lambda of 1; one with the factor "-" is subtracted."""
    return [
        Term(
            {n: f for n, f in factors.items() if n != "-" and not (n == "lambda" and f == 1)},
            -1 if "-" in factors else 1,
        )
        for factors in products
    ]


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


def _multiplied_out(e: Evidence) -> Formula:
    dt, t = e.given["dthreshold"], e.given["thresholds"]
    return _terms({"dL/dt": dt, "t": t}, {"-": 1, "dL/dt": dt, "t^2": t * t})


def _dthreshold(e: Evidence) -> Formula:
    weight, control = e.conventions.control_weight, e.given["dcontrol_dthreshold"]
    loss = e.given["dreconstruction_dthreshold"]
    return _terms({"dL_rec/dt": loss}, {"lambda": weight, "dL_c/dt": control})


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


def _control_loss(e: Evidence, rates: Array | None = None) -> Formula:
    r = e.given["rates"] if rates is None else rates
    reached = {"r": r, "N": e.sizes, "(1 / sum(N))": 1 / e.sizes.sum()}
    return [Term(reached, summed=True), *_terms({"-": 1, "r_0": e.setting.target})]


def _total_loss(e: Evidence) -> Formula:
    weighted = {"lambda": e.conventions.control_weight, "L_c": e.given["control_loss"]}
    return _terms({"L_rec": e.given["reconstruction_loss"]}, weighted)


def _sparse_weight(e: Evidence, by_weight: float = 0.0, by_mask: float = 0.0) -> Formula:
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
    "sparse_weight": _sparse_weight,
    "new_buffer": _new_buffer,
    "control_loss": _control_loss,
    "total_loss": _total_loss,
    "densities": _densities,
    "drate_dthreshold": _drate_dthreshold,
    "dcontrol_drate": _dcontrol_drate,
    "dcontrol_dthreshold": _dcontrol_dthreshold,
    "dmask": _dmask,
    "dthreshold": _dthreshold,
    "dweight": _dweight,
    "dthreshold_parameter": _dthreshold_parameter,
    "velocity": _velocity,
    "new_parameter": _new_parameter,
    "threshold_velocity": _threshold_velocity,
    "new_threshold_parameters": _new_threshold_parameters,
}
"""By quantity: its formula."""


def _total(formula: Formula) -> Array:
    return np.asarray(sum((term.value for term in formula), np.asarray(0.0)))


def _value(evidence: Evidence, formula: Formula) -> Array:
    quantity = evidence.quantity
    value = np.broadcast_to(_total(formula), evidence.value.shape)
    if quantity == "control_loss":
        return np.asarray(np.abs(value))
    direct = evidence.conventions.threshold_parameter == "threshold"
    return np.maximum(value, 0) if quantity == "new_threshold_parameters" and direct else value


def _name(formula: Formula) -> str:
    return f"{SLIP}{MARK}{_written(formula)}"


def _slips_of(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    for formula in _all_slips(FORMULAS[evidence.quantity](evidence)):
        yield _name(formula), partial(_value, evidence, formula)
    sigmoid = evidence.conventions.threshold_parameter == "sigmoid"
    if evidence.quantity == "dthreshold_parameter" and sigmoid:
        for formula in _all_slips(_multiplied_out(evidence)):
            yield _name(formula), partial(_value, evidence, formula)


def _by_rates(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The derivative by r of every slip in the control loss, by complex steps."""
    r = evidence.given["rates"]
    moved = [r + STEP * 1j * unit for unit in np.eye(len(r))]
    for formulas in zip(*(_all_slips(_control_loss(evidence, one)) for one in moved), strict=True):
        excess = np.array([_total(formula) for formula in formulas])
        yield _name(formulas[0]), np.sign(excess.real) * excess.imag / STEP


def _through_weight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The gradient by W, or by M, that every slip in the sparse weight sends, by complex steps."""
    by_weight = evidence.quantity == "dweight"
    for formula in _all_slips(_sparse_weight(evidence, STEP * by_weight, STEP * (not by_weight))):
        slope = _total(formula).imag / STEP
        yield _name(formula), evidence.given[f"dsparse_weight/{evidence.item}"] * slope


def _both(first: Values, second: Values) -> Values:
    def values(evidence: Evidence) -> Iterator[tuple[str, Found]]:
        yield from first(evidence)
        yield from second(evidence)

    return values


VALUES: dict[str, Values] = dict.fromkeys(FORMULAS, _slips_of) | {
    "dcontrol_drate": _both(_slips_of, _by_rates),
    "dweight": _both(_slips_of, _through_weight),
    "dmask": _both(_slips_of, _through_weight),
}
