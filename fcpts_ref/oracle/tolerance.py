"""Compare a quantity of a trace with its expected value, within its tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.oracle.compare import Difference, compare_output
from fcpts_ref.oracle.quantities import ELEMENTWISE, Quantity
from fcpts_ref.oracle.vectors import Expected, Rule

Array = NDArray[Any]
UNIT = {"initial_rates", "rates", "control_loss", "final_rate", "reconstruction_loss", "total_loss"}
"""Differences of numbers near 1, which may cancel to 0: their tolerance is relative to 1."""


DECISIONS = (0.0, 0.5, 1.0)
"""The values of a mask, which nothing rounds."""


@dataclass(frozen=True)
class Tolerance:
    """scale: a factor on all tolerances.  single: those of float32."""

    scale: float = 1.0
    single: bool = False

    def of(self, quantity: Quantity) -> float:
        """Return the error allowed as a share of the largest magnitude."""
        share = quantity.single_tolerance if self.single else quantity.tolerance
        return self.scale * share

    @property
    def rounding(self) -> float:
        """The relative error of a number after a few roundings."""
        return self.scale * ELEMENTWISE[self.single]


def compare_quantity(
    name: str,
    quantity: Quantity,
    want: Array,
    got: Array,
    tolerance: Tolerance,
    least: float = 0.0,
) -> Difference | None:
    """Return None if ``got`` is within the tolerance, else the difference.

    The tolerance is the quantity's share of the largest magnitude in ``want``, or of ``least`` if
    that is larger.  Masks are compared exactly, unless they are soft, as a mistake may make them.
    NaN never passes for a number.
    """
    share = tolerance.of(quantity)
    if share == 0 and not np.isin(want, DECISIONS).all():  # a soft mask
        share = tolerance.rounding
    if share == 0:
        rule = Rule("exact", "a decision")
    else:
        rule = Rule(
            "close",
            "rounding, in whatever order",
            atol=share * max(_magnitude(quantity, want), least),
        )
    return compare_output(name, Expected(want, rule), got)


def _magnitude(quantity: Quantity, want: Array) -> float:
    finite = np.abs(want[np.isfinite(want)].astype(np.float64))
    floor = 1.0 if quantity.name in UNIT else 0.0
    return max(float(finite.max(initial=0.0)), floor)
