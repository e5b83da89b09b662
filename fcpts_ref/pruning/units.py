"""Units of pruning: the weights that are kept or pruned together, and their cost."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fcpts_ref.errors import InputError, counted
from fcpts_ref.graphs.graph import Graph, macs
from fcpts_ref.pruning.patterns import ROWS, Blocks, Pattern
from fcpts_ref.spec.patterns import Layout, weight_matrix

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Shape = tuple[int, ...]
Cost = Literal["weights", "macs"]


class Unit(Protocol):
    """A partition of every layer's weights into units of one size."""

    @property
    def name(self) -> str:
        """The name in the settings."""

    @property
    def rate(self) -> float | None:
        """The rate of every layer, if the unit fixes it."""

    def fits(self, shape: Shape) -> bool:
        """Return whether a weight of this shape has such units; otherwise it stays dense."""

    def count(self, shape: Shape) -> int:
        """Return the number of units of a weight of this shape."""

    def magnitudes(self, weight: Array) -> Array:
        """Return one number per unit, whose magnitude is compared with the threshold."""

    def expand(self, kept: Array, shape: Shape) -> Array:
        """Return the mask of the weights from that of the units; dtype in, dtype out."""

    def total(self, values: Array) -> Array:
        """Return the sum over each unit of values in the shape of the weight."""


@dataclass(frozen=True)
class SingleWeights:
    """Every weight is a unit, as in the paper."""

    name: str = "weight"
    rate: ClassVar[None] = None

    def fits(self, shape: Shape) -> bool:
        """Return True."""
        return True

    def count(self, shape: Shape) -> int:
        """Return the number of weights."""
        return math.prod(shape)

    def magnitudes(self, weight: Array) -> Array:
        """Return the weight itself."""
        return weight

    def expand(self, kept: Array, shape: Shape) -> Array:
        """Return the mask itself."""
        return kept

    def total(self, values: Array) -> Array:
        """Return the values themselves."""
        return values


@dataclass(frozen=True)
class Filters:
    """All weights of an output channel, or of an output of a linear layer, form a unit.

    Its magnitude is the root mean square of its weights, which is comparable across layer sizes.
    """

    name: str = "filter"
    rate: ClassVar[None] = None

    def fits(self, shape: Shape) -> bool:
        """Return True."""
        return True

    def count(self, shape: Shape) -> int:
        """Return the number of outputs."""
        return shape[0]

    def magnitudes(self, weight: Array) -> Array:
        """Return (K,) from (K, ...), in the weight's dtype."""
        rows = weight.reshape(len(weight), -1).astype(np.float64)
        return np.asarray(np.sqrt((rows * rows).mean(axis=1)).astype(weight.dtype))

    def expand(self, kept: Array, shape: Shape) -> Array:
        """Return (K, ...) from (K,)."""
        wide = kept.reshape(-1, *[1] * (len(shape) - 1))
        return np.broadcast_to(wide, shape).copy()

    def total(self, values: Array) -> Array:
        """Return (K,) from (K, ...)."""
        return np.asarray(values.reshape(len(values), -1).sum(axis=1))


SINGLE_WEIGHTS = SingleWeights()
UNITS: dict[str, Unit] = {unit.name: unit for unit in (SINGLE_WEIGHTS, Filters())}
"""Units by their name in the settings; ``make_unit`` also makes patterns and blocks."""

PATTERN = re.compile(rf"([1-9]\d{{0,5}})([:x])([1-9]\d{{0,5}})({ROWS})?", re.ASCII)


def make_unit(name: str) -> Unit:
    """Return the unit of that name: one of ``UNITS``, a pattern "N:M" or blocks "RxC".

    A pattern or block ending in "-rows" has the layout "rows" of ``spec.patterns``.
    Raises InputError for another name, and for patterns and blocks that are none.
    """
    if name in UNITS:
        return UNITS[name]
    found = PATTERN.fullmatch(name)
    if found is None:
        raise InputError(
            f"granularity is {name!r}; expected one of {', '.join(UNITS)}, a pattern such as 2:4, "
            "or blocks such as 4x4"
        )
    first, second = int(found[1]), int(found[3])
    layout: Layout = "rows" if found[4] else "channels"
    if found[2] == "x":
        return Blocks(first, second, layout)
    if first >= second:
        raise InputError(
            f"granularity {name} keeps {first} of every {counted(second, 'weight')}; expected N:M "
            "with N < M, such as 2:4"
        )
    return Pattern(first, second, layout)


def follows(unit: Unit, mask: Mask) -> bool:
    """Return whether a mask (True = kept) prunes whole units, or at least M - N of every M."""
    if isinstance(unit, Pattern):
        if not unit.fits(mask.shape):
            return False
        groups = weight_matrix(mask, unit.layout).reshape(-1, unit.M)
        return bool((np.count_nonzero(groups, axis=1) <= unit.N).all())
    kept = unit.total(mask.astype(np.int64))
    size = mask.size // unit.count(mask.shape)
    return bool(((kept == 0) | (kept == size)).all())


def unit_counts(graph: Graph, unit: Unit) -> dict[str, int]:
    """Return the number of units of every prunable weight, by name."""
    return {name: unit.count(graph.parameter_shapes[name]) for name in graph.prunable}


def unit_costs(graph: Graph, unit: Unit, cost: str) -> dict[str, float]:
    """Return the cost of one unit of every prunable weight, by name.

    cost: "weights" counts weights; "macs" the multiply-accumulates of one image.
    Raises InputError for another cost.
    """
    if cost not in ("weights", "macs"):
        raise InputError(f"cost is {cost!r}; expected 'weights' or 'macs'")
    shapes = {name: graph.parameter_shapes[name] for name in graph.prunable}
    whole = macs(graph) if cost == "macs" else {n: math.prod(s) for n, s in shapes.items()}
    return {name: whole[name] / unit.count(shape) for name, shape in shapes.items()}


def pruned_share(graph: Graph, parameters: Any, cost: str) -> float:
    """Return the share of the cost that exact zeros save, over all prunable weights."""
    costs = unit_costs(graph, SINGLE_WEIGHTS, cost)
    weights = {name: parameters[name] for name in graph.prunable}
    saved = sum(costs[n] * (w.size - np.count_nonzero(w)) for n, w in weights.items())
    return float(saved / sum(costs[n] * w.size for n, w in weights.items()))
