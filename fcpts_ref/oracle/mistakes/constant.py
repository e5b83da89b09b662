"""Mistakes with a constant, such as another epsilon: the number is read from the values found.

It is believed only if it is a round number, and then it must give every value of all arrays and
steps; so no number is fitted to the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fcpts_ref.oracle.evidence import Array

MARK = "="


@dataclass(frozen=True, eq=False)
class Constant:
    """read: the numbers that may explain the value found.  formula: the value with a number.

    usual: the right number, or numbers that have names of their own.
    """

    read: Callable[[Array], Iterable[float]]
    formula: Callable[[float], Any]
    usual: tuple[float, ...] = ()

    def candidates(self, found: Array) -> dict[str, float]:
        """Return the round numbers that may explain the value found, as they are written."""
        return {
            text: number_of(text)
            for text in map(written, self.read(found))
            if text and not any(math.isclose(number_of(text), one) for one in self.usual)
        }


def written(number: float) -> str:
    """Return a round number, as "0.05", "256" or "1/3"; "" for any other.

    Round numbers have at most two digits, are powers of two or one less, or one over such numbers.
    """
    if not math.isfinite(number):
        return ""
    for prefix, one in (("", number), ("1/", 1 / number if number else math.inf)):
        if not math.isfinite(one):
            continue
        two_digits = float(f"{one:.2g}")
        if math.isclose(one, two_digits, rel_tol=1e-7, abs_tol=1e-13):
            return f"{prefix}{two_digits:g}"
        for whole in (one, one + 1):  # a power of two, or one less, as 255
            if one >= 1 and math.isclose(whole, 2.0 ** round(math.log2(whole)), rel_tol=1e-7):
                return f"{prefix}{round(one)}"
    return ""


def number_of(text: str) -> float:
    """Return the number that ``written`` wrote."""
    one, _, other = text.partition("/")
    return float(one) / float(other) if other else float(one)


def base_of(name: str) -> str:
    """Return the name of a mistake without its constant."""
    return name.partition(MARK)[0]


def constant_in(name: str) -> dict[str, float]:
    """Return the constant of a mistake's name, by how it is written; none if it has none."""
    _, mark, text = name.partition(MARK)
    return {text: number_of(text)} if mark else {}


def limits(found: Array, of: Callable[[Array], float]) -> list[float]:
    """Return the limit that some elements are at, such as their largest magnitude; none if all
    are, as then nothing tells a limit from a constant."""
    size = np.abs(found)
    return [of(found)] if found.size > 1 and not np.isclose(size, size.flat[0]).all() else []


def ratio(found: Array, right: Array) -> list[float]:
    """Return by what ``right`` is multiplied in its largest element, if in any."""
    if np.shape(found) != np.shape(right) or not np.any(right):
        return []
    place = np.unravel_index(np.argmax(np.abs(right)), np.shape(right))
    return [float(np.asarray(found)[place] / np.asarray(right)[place])]
