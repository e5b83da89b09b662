"""Slips in a formula: a sign, a term or a factor that is missing, twice, or on the wrong side.

Every formula that is a sum of products is written once, as its terms; all slips follow from it.  A
slip is named only where no mistake of the catalogue gives the values found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes.constant import MARK, number_of, ratio, written
from fcpts_ref.oracle.mistakes.formulas import FORMULAS, control_loss, sparse_weight
from fcpts_ref.oracle.mistakes.mistake import Found, Values
from fcpts_ref.oracle.mistakes.terms import Formula, Term
from fcpts_ref.oracle.mistakes.update_formulas import ahead, multiplied_out

SLIP = "slip"
WEIGHTED = "weighted"
STEP = 1e-30  # of a complex step


def _of_term(term: Term) -> Iterator[Term]:
    """Yield the term with every slip in one of its factors, or with the other sign."""
    yield replace(term, sign=-term.sign)
    if term.summed:  # a mean in place of a sum, or the other way round
        for name in ("L", "(1 / L)"):
            L = float(term.size) if name == "L" else 1 / term.size
            yield replace(term, factors=term.factors | {name: L})
    for name, factor in term.factors.items():
        rest = {n: f for n, f in term.factors.items() if n != name}
        divided = name[4:-1] if name.startswith("(1 /") else f"(1 / {name})"
        yield replace(term, factors=rest)
        yield replace(term, factors=rest | {divided: 1 / np.asarray(factor)})
        for other, value in term.factors.items():  # twice, or in the place of another
            kept = term.factors if other == name else rest
            yield replace(term, factors=kept | {f" {other}": value})


def _all_slips(formula: Formula) -> Iterator[list[Term]]:
    for i, term in enumerate(formula):
        before, after = list(formula[:i]), list(formula[i + 1 :])
        for other in _of_term(term):
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


def _total(formula: Formula) -> Array:
    return np.asarray(sum((term.value for term in formula), np.asarray(0.0)))


def _value(evidence: Evidence, formula: Formula) -> Array:
    quantity = evidence.quantity
    value = np.broadcast_to(_total(formula), evidence.value.shape)
    if quantity == "control_loss":
        return np.asarray(np.abs(value))
    direct = evidence.conventions.threshold_parameter == "threshold"
    return np.maximum(value, 0) if quantity == "new_threshold_parameters" and direct else value


def right_formula(evidence: Evidence) -> Array:
    """Return the value of a quantity's formula, from its terms."""
    return _value(evidence, FORMULAS[evidence.quantity](evidence))


def _name(formula: Formula) -> str:
    return f"{SLIP}{MARK}{_written(formula)}"


def _slips_of(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    for formula in _all_slips(FORMULAS[evidence.quantity](evidence)):
        yield _name(formula), partial(_value, evidence, formula)
    yield from _weighted(evidence)
    if evidence.quantity == "new_parameter":
        right = list(ahead(evidence))
        for i, term in enumerate(right):  # a slip in a factor may be too small to be told
            for other in ([], [replace(term, sign=-term.sign)]):
                formula = [*right[:i], *other, *right[i + 1 :]]
                yield _name(formula), partial(_value, evidence, formula)
    sigmoid = evidence.conventions.threshold_parameter == "sigmoid"
    if evidence.quantity == "dthreshold_parameter" and sigmoid:
        for formula in _all_slips(multiplied_out(evidence)):
            yield _name(formula), partial(_value, evidence, formula)


def _weighted(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """Every term times a constant, which is read from the value found."""
    formula = FORMULAS[evidence.quantity](evidence)
    for i, term in enumerate(formula if len(formula) > 1 else ()):
        rest = _total([*formula[:i], *formula[i + 1 :]])
        for sign in (1, -1) if evidence.quantity == "control_loss" else (1,):
            for number in ratio(sign * evidence.found - rest, np.asarray(term.value)):
                text = written(number)
                if text not in ("", "0", "1", "-1"):
                    times = replace(term, factors={text: number_of(text)} | term.factors)
                    changed = [*formula[:i], times, *formula[i + 1 :]]
                    text = f"{WEIGHTED}{MARK}{_written(changed)}"
                    yield text, partial(_value, evidence, changed)


def _by_rates(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The derivative by r of every slip in the control loss, by complex steps."""
    r = evidence.given["rates"]
    moved = [r + STEP * 1j * unit for unit in np.eye(len(r))]
    for formulas in zip(*(_all_slips(control_loss(evidence, one)) for one in moved), strict=True):
        excess = np.array([_total(formula) for formula in formulas])
        yield _name(formulas[0]), np.sign(excess.real) * excess.imag / STEP


def _through_weight(evidence: Evidence) -> Iterator[tuple[str, Found]]:
    """The gradient by W, or by M, that every slip in the sparse weight sends, by complex steps."""
    by_weight = evidence.quantity == "dweight"
    for formula in _all_slips(sparse_weight(evidence, STEP * by_weight, STEP * (not by_weight))):
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
