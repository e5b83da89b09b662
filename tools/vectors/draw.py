"""Draw random inputs, which the vectors store: readers of the vectors draw nothing.

All numbers are multiples of 1/1024 below 64 in magnitude, so that float32 holds them exactly.
Python's ``random.random`` guarantees the same numbers for the same seed in every version.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

GRID = 1024


class Draw:
    """Random inputs of one case, seeded by its id."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def uniform(self, *shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
        """Draw numbers between two bounds, none of them 0."""
        return self._fill(shape, lambda: low + (high - low) * self._random.random())

    def weights(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        """Draw roughly normal numbers of about this standard deviation, none of them 0."""
        return self._fill(
            shape, lambda: scale * (sum(self._random.random() for _ in range(12)) - 6)
        )

    def labels(self, count: int, classes: int) -> np.ndarray:
        """Draw class numbers."""
        return np.array(
            [int(self._random.random() * classes) for _ in range(count)], dtype=np.int64
        )

    def coins(self, *shape: int) -> np.ndarray:
        """Draw zeros and ones."""
        count = int(np.prod(shape, dtype=int))
        values = [float(self._random.random() < 0.5) for _ in range(count)]
        return np.array(values).reshape(shape)

    def _fill(self, shape: tuple[int, ...], draw_one: Callable[[], float]) -> np.ndarray:
        values: list[float] = []
        while len(values) < int(np.prod(shape, dtype=int)):
            value = round(draw_one() * GRID) / GRID
            if value != 0:
                values.append(value)
        return np.array(values, dtype=np.float64).reshape(shape)
