"""Arrays of extended-precision numbers, their differentiation, and decisions with margins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from mpmath import mp, mpf

mp.dps = 80
STEP = mpf(10) ** -25  # the error of central differences is about STEP**2: 50 correct digits
MARGIN = (
    1e-5  # relative distance from every decision outside BOUNDARY cases; float32 rounds at 6e-8
)


def exact(values: Any) -> np.ndarray:
    """Convert numbers to extended precision, as a new object array."""
    array: np.ndarray = np.asarray(values)
    if array.dtype == object:
        return array.copy()
    result = np.empty(array.shape, dtype=object)
    for index in indices(array.shape):
        result[index] = mpf(array[index].item())
    return result


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of extended-precision zeros."""
    result = np.empty(shape, dtype=object)
    for index in indices(shape):
        result[index] = mpf(0)
    return result


def indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Iterate over all indices of an array, row-major."""
    return product(*(range(size) for size in shape))


def rounded(values: Any, dtype: str = "float64") -> np.ndarray:
    """Round extended-precision numbers once, to nearest, to a dtype."""
    values = np.asarray(values, dtype=object)
    result = np.empty(values.shape, dtype=dtype)
    for index in indices(values.shape):
        value = values[index]
        if dtype == "float32":
            with mp.workprec(24):
                value = +mpf(value)
        result[index] = float(value)
    return result


def total(values: Any) -> mpf:
    """Return the sum of all elements."""
    return mp.fsum(np.asarray(values, dtype=object).ravel().tolist())


def differentiate(
    function: Callable[[np.ndarray], np.ndarray], x: np.ndarray, cotangent: np.ndarray
) -> np.ndarray:
    """Return the gradient of sum(cotangent * function(x)) by x, from values of the function."""
    gradient = zeros(x.shape)
    for index in indices(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] = moved[index] + sign * STEP
            ends.append(total(cotangent * function(moved)))
        gradient[index] = (ends[0] - ends[1]) / (2 * STEP)
    return gradient


class Decisions:
    """Make every comparison that a result depends on; ``closest``: the smallest margin so far."""

    def __init__(self) -> None:
        self.closest = float("inf")

    def compare(self, a: Any, b: Any) -> int:
        """Return -1, 0 or 1 if a is below, equal to or above b."""
        a, b = mpf(a), mpf(b)
        scale = max(abs(a), abs(b), mpf(2) ** -10)
        self.closest = min(self.closest, float(abs(a - b) / scale))
        return int(mp.sign(a - b))
