"""The catalogue of known mistakes, and the values that they give to a quantity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fcpts_ref.errors import InputError
from fcpts_ref.oracle.evidence import Array, Evidence
from fcpts_ref.oracle.mistakes import (
    backward,
    beginning,
    density,
    forward,
    losses,
    masks,
    normalisation,
    projection,
    rates,
    schedule,
    thresholds,
    update,
)
from fcpts_ref.oracle.mistakes.mistake import CATALOGUE, Mistake, Values

MODULES = (
    beginning,
    schedule,
    masks,
    forward,
    normalisation,
    losses,
    rates,
    density,
    backward,
    thresholds,
    update,
    projection,
)

FUNCTIONS: dict[str, tuple[Values, ...]] = {
    quantity: tuple(m.VALUES[quantity] for m in MODULES if quantity in m.VALUES)
    for quantity in dict.fromkeys(quantity for m in MODULES for quantity in m.VALUES)
}
"""By quantity: the functions that yield mistakes by name with their values."""

__all__ = ["CATALOGUE", "FUNCTIONS", "Mistake", "values_of"]

__all__ = ["CATALOGUE", "FUNCTIONS", "Mistake", "values_of"]


def values_of(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """Yield the mistakes that are known for this quantity, each with the value that it gives."""
    for function in FUNCTIONS.get(evidence.quantity, ()):
        try:
            for name, value in function(evidence):
                yield name, np.asarray(value)
        except (InputError, KeyError):  # an array that a mistake needs was not recorded
            continue
