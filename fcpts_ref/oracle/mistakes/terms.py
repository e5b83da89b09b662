"""Formulas as sums of products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array


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


def as_terms(*products: dict[str, Any]) -> list[Term]:
    """Terms of these factors, without a lambda of 1; one with the factor "-" is subtracted."""
    return [
        Term(
            {n: f for n, f in factors.items() if n != "-" and not (n == "lambda" and f == 1)},
            -1 if "-" in factors else 1,
        )
        for factors in products
    ]
