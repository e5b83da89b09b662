"""N:M patterns and blocks as units of pruning ("2:4", "4x4")."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.spec.patterns import (
    Layout,
    block_norms,
    block_sides,
    from_blocks,
    has_pattern,
    into_blocks,
    pattern_mask,
)

Array = NDArray[Any]
Shape = tuple[int, ...]

ROWS = "-rows"
"""The end of a name with the layout "rows"."""


@dataclass(frozen=True)
class Pattern:
    """N:M: of each M neighbouring weights of an output, the N largest are kept.

    Every weight is a unit, and the pattern decides which are pruned: all layers have the rate
    1 - N/M.  Layers that do not divide into groups of M stay dense.
    """

    N: int
    M: int
    layout: Layout = "channels"

    @property
    def name(self) -> str:
        """The name in the settings, such as "2:4" or "2:4-rows"."""
        return f"{self.N}:{self.M}{ROWS if self.layout == 'rows' else ''}"

    @property
    def rate(self) -> float:
        """The rate of every layer."""
        return 1 - self.N / self.M

    def fits(self, shape: Shape) -> bool:
        """Return whether the weight divides into groups."""
        return has_pattern(shape, self.M, self.layout)

    def count(self, shape: Shape) -> int:
        """Return the number of weights."""
        return math.prod(shape)

    def magnitudes(self, weight: Array) -> Array:
        """Return the weight with 0 for the weights to prune, and no other zeros.

        A kept weight of 0 becomes the smallest positive number, so that a threshold separates the
        two.
        """
        kept = pattern_mask(weight, self.N, self.M, self.layout)
        smallest = np.finfo(weight.dtype).tiny
        solid = np.where(weight == 0, smallest, weight)
        return np.asarray(np.where(kept, solid, weight.dtype.type(0)))

    def expand(self, kept: Array, shape: Shape) -> Array:
        """Return the mask itself."""
        return kept

    def total(self, values: Array) -> Array:
        """Return the values themselves."""
        return values


@dataclass(frozen=True)
class Blocks:
    """Blocks of R x C neighbouring weights: R outputs, C inputs.

    A block's magnitude is the root mean square of its weights.  Where R or C does not divide a
    layer, its blocks have the greatest common divisor as that side (``block_sides``).
    """

    R: int
    C: int
    layout: Layout = "channels"
    rate: ClassVar[None] = None

    @property
    def name(self) -> str:
        """The name in the settings, such as "4x4" or "4x4-rows"."""
        return f"{self.R}x{self.C}{ROWS if self.layout == 'rows' else ''}"

    def fits(self, shape: Shape) -> bool:
        """Return True: every weight divides into some blocks."""
        return True

    def count(self, shape: Shape) -> int:
        """Return the number of blocks."""
        return math.prod(shape) // math.prod(self._sides(shape))

    def magnitudes(self, weight: Array) -> Array:
        """Return the root mean square of each block, (K / R, columns / C)."""
        return block_norms(weight, self._sides(weight.shape), self.layout)

    def expand(self, kept: Array, shape: Shape) -> Array:
        """Return the mask of the weights from that of the blocks."""
        return from_blocks(kept, shape, self._sides(shape), self.layout)

    def total(self, values: Array) -> Array:
        """Return the sum over each block, (K / R, columns / C)."""
        blocks = into_blocks(values, self._sides(values.shape), self.layout)
        return np.asarray(blocks.sum(axis=(2, 3)))

    def _sides(self, shape: Shape) -> tuple[int, int]:
        return block_sides(shape, self.R, self.C, self.layout)
