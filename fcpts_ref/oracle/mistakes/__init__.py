"""The catalogue of known mistakes, and the values that they give to a quantity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes import (
    allocation,
    backward,
    bandwidths,
    beginning,
    control,
    decays,
    density,
    distances,
    factors,
    forward,
    gamma,
    gradients,
    histograms,
    kernels,
    losses,
    masks,
    moved,
    networks,
    nodes,
    operands,
    optimisers,
    projection,
    rates,
    scaled,
    schedule,
    scores,
    slips,
    sparse_weights,
    statistics,
    surrogates,
    taken,
    threshold_update,
    thresholds,
    through,
    total,
    update,
)
from fcpts_ref.oracle.mistakes.constant import MARK, Constant, base_of, constant_in
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Found, Mistake, Values, known

MODULES = (
    allocation,
    beginning,
    schedule,
    decays,
    masks,
    sparse_weights,
    forward,
    networks,
    nodes,
    statistics,
    losses,
    distances,
    total,
    rates,
    control,
    density,
    kernels,
    bandwidths,
    histograms,
    backward,
    gamma,
    surrogates,
    thresholds,
    gradients,
    update,
    threshold_update,
    optimisers,
    projection,
    scores,
    slips,
    scaled,
    factors,
    operands,
    moved,
    taken,
    through,
)

FUNCTIONS: dict[str, tuple[Values, ...]] = {
    quantity: tuple(m.VALUES[quantity] for m in MODULES if quantity in m.VALUES)
    for quantity in dict.fromkeys(quantity for m in MODULES for quantity in m.VALUES)
}
"""By quantity: the functions that yield mistakes by name with their values."""

__all__ = ["CATALOGUE", "FUNCTIONS", "Mistake", "known", "values_of"]


def values_of(evidence: Evidence, only: str | None = None) -> Iterator[tuple[str, Array]]:
    """Yield the mistakes that are known for this quantity, each with the value that it gives.

    only: the name of one mistake, perhaps with a constant; by default, all of them, with the
    constants that the value found suggests.
    """
    for function in FUNCTIONS.get(evidence.quantity, ()):
        try:
            for name, value in function(evidence):
                if only is None or name in (only, base_of(only)):
                    yield from _resolved(name, value, evidence.found, only)
        except (InputError, KeyError, ArithmeticError):  # what a mistake needs is missing, or 0
            continue


def _resolved(
    name: str, value: Found, found: Array, only: str | None
) -> Iterator[tuple[str, Array]]:
    if isinstance(value, Constant):
        numbers = value.candidates(found) if only is None else constant_in(only)
        for text, number in numbers.items():
            yield f"{name}{MARK}{text}", np.asarray(value.formula(number))
    else:
        yield name, np.asarray(value() if callable(value) else value)
